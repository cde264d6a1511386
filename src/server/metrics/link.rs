//! How what the link's thread counts becomes visible to whoever asks for the page. Knows no datagram.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aldis_link::LinkFigures;
use parking_lot::Mutex;

/// Pause between two moments at which the figures are made visible: they are copied then.
const PUBLISH_PAUSE: Duration = Duration::from_millis(100);

/// What the page looks at: the figures as they were a moment ago.
pub type PublishedLink = Arc<Mutex<LinkFigures>>;

/// The way there, for the link's thread.
#[derive(Debug, Default)]
pub struct LinkCounts {
    published: PublishedLink,
    published_at: Option<Instant>,
}

impl LinkCounts {
    /// What they are published to.
    pub fn new(published: PublishedLink) -> Self {
        Self { published, published_at: None }
    }

    /// When the figures are to be published; they are as of now, or will be.
    pub fn due_at(&self, now: Instant) -> Instant {
        self.published_at.map_or(now, |at| at + PUBLISH_PAUSE)
    }

    /// Makes them visible.
    pub fn publish(&mut self, now: Instant, figures: &LinkFigures) {
        self.published.lock().clone_from(figures);
        self.published_at = Some(now);
    }
}
