//! What changes when: steps in the order of their times. Knows the words of settings, not their
//! effect.

use super::settings::{Kind, Words, duration_ns};

/// Steps of a timeline; each leaves a small link behind in the simulator.
const STEPS_MAX: usize = 10_000;

/// Steps still to come.
#[derive(Debug)]
pub struct Timeline {
    /// Latest first.
    steps: Vec<(u64, Words)>,
}

impl Timeline {
    /// Reads lines like `5s loss=10%`: a time since the start, then settings. Empty lines and what
    /// follows `#` mean nothing. `lines` names each for errors.
    pub fn parse<'a>(
        lines: impl Iterator<Item = (String, &'a str)>,
        kind: Kind,
    ) -> Result<Self, String> {
        let mut steps = Vec::new();
        for (name, line) in lines {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (at, words) = line.split_once(char::is_whitespace).ok_or_else(|| {
                format!("{name}: a time and settings are needed, as `5s loss=1%`")
            })?;
            let at_ns = duration_ns(at).map_err(|reason| format!("{name}: {reason}"))?;
            let words = Words::parse(words, kind).map_err(|reason| format!("{name}: {reason}"))?;
            steps.push((at_ns, words));
            if steps.len() > STEPS_MAX {
                return Err(format!("{name}: a timeline has at most {STEPS_MAX} steps"));
            }
        }
        // A stable sort: steps of one instant come in the order in which they were written.
        steps.sort_by_key(|(at_ns, _)| *at_ns);
        steps.reverse();
        Ok(Self { steps })
    }

    /// When the next step is due.
    pub fn next_at_ns(&self) -> Option<u64> {
        self.steps.last().map(|(at_ns, _)| *at_ns)
    }

    /// The next step that is due.
    pub fn poll(&mut self, now_ns: u64) -> Option<Words> {
        if self.next_at_ns()? > now_ns {
            return None;
        }
        self.steps.pop().map(|(_, words)| words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Timeline, String> {
        let lines = text.lines().enumerate();
        let lines = lines.map(|(number, line)| (format!("line {}", number + 1), line));
        Timeline::parse(lines, Kind::Datagrams)
    }

    #[test]
    fn steps_come_by_time_and_within_an_instant_as_written() {
        let mut timeline =
            parse("# a night\n10s heal\n\n0s delay=5ms # calm\n 5s partition\n5s\tup.heal\n")
                .unwrap();
        assert_eq!(timeline.next_at_ns(), Some(0));
        let mut due = |now_s: u64| {
            let mut texts = Vec::new();
            while let Some(words) = timeline.poll(now_s * 1_000_000_000) {
                texts.push(words.text().to_owned());
            }
            texts
        };
        assert_eq!(due(0), ["delay=5ms"]);
        assert_eq!(due(4), Vec::<String>::new());
        assert_eq!(due(60), ["partition", "up.heal", "heal"]);
        assert_eq!(timeline.next_at_ns(), None);
    }

    #[test]
    fn errors_name_the_line() {
        assert!(parse("0s loss=1%\nloss=2%").unwrap_err().starts_with("line 2: "));
        assert!(parse("soon loss=2%").unwrap_err().starts_with("line 1: "));
        assert!(parse("0s loss=2%\n1s los=2%").unwrap_err().starts_with("line 2: "));
    }
}
