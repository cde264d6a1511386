//! The table `memory` of the configuration file. Knows no process.

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, Source};

/// Largest budget, MiB: 1 TiB.
const BUDGET_MIB_MAX: u32 = 1 << 20;
/// Smallest budget, MiB: below it a node sheds load as soon as two passwords are checked.
const BUDGET_MIB_MIN: u32 = 64;

/// How much memory the process may use before it sheds load.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryTable {
    /// The budget, MiB; 0: see `budget_percent`.
    pub budget_mib: Spanned<u32>,
    /// The budget without `budget_mib`: percent of what the process may have by its control group, or
    /// else of the machine's memory; 0: there is none.
    pub budget_percent: Spanned<u32>,
    /// Percent of the budget above which logins, lists and what is told are refused.
    pub soft_percent: Spanned<u32>,
}

impl Default for MemoryTable {
    fn default() -> Self {
        let value = |value: u32| Spanned::new(0..0, value);
        Self { budget_mib: value(0), budget_percent: value(80), soft_percent: value(85) }
    }
}

impl MemoryTable {
    pub(super) fn check(&self, source: &Source<'_>) -> Result<(), ConfigError> {
        if *self.budget_mib.get_ref() > 0 {
            source.within("memory.budget_mib", &self.budget_mib, BUDGET_MIB_MIN, BUDGET_MIB_MAX)?;
        }
        source.at_most("memory.budget_percent", &self.budget_percent, 100)?;
        source.within("memory.soft_percent", &self.soft_percent, 10, 99)
    }
}
