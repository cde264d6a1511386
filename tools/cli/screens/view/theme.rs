//! Colours and other attributes of text: the sixteen colours that every terminal has, or none.

use ratatui::style::{Color, Modifier, Style};

/// See the file's first line.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    has_colors: bool,
}

impl Theme {
    /// As NO_COLOR says.
    pub fn from_env() -> Self {
        Self { has_colors: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) }
    }

    /// Without colours.
    pub fn plain() -> Self {
        Self { has_colors: false }
    }

    fn color(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }

    /// Of little importance.
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Titles and bars.
    pub fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// What keys act on.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn good(self) -> Style {
        self.color(Color::Green)
    }

    /// What the user should look at.
    pub fn alert(self) -> Style {
        self.color(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub fn bad(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// A name, always in the same colour for the same id.
    pub fn name(self, id: u64) -> Style {
        const COLORS: [Color; 6] = [
            Color::Green,
            Color::Yellow,
            Color::Blue,
            Color::Magenta,
            Color::Cyan,
            Color::LightRed,
        ];
        let index = usize::try_from(id % COLORS.len() as u64).unwrap_or(0);
        self.color(COLORS.get(index).copied().unwrap_or(Color::Reset)).add_modifier(Modifier::BOLD)
    }
}
