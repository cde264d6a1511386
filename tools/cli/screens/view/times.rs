//! Times as the screens write them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

fn at(unix_ms: u64, zone: &TimeZone) -> Option<Zoned> {
    let timestamp = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
    Some(timestamp.to_zoned(zone.clone()))
}

fn format(unix_ms: u64, zone: &TimeZone, how: &str) -> String {
    at(unix_ms, zone).map_or_else(|| "?".to_owned(), |at| at.strftime(how).to_string())
}

/// Hour and minute.
pub fn clock(unix_ms: u64, zone: &TimeZone) -> String {
    format(unix_ms, zone, "%H:%M")
}

/// The day, in words.
pub fn day(unix_ms: u64, zone: &TimeZone) -> String {
    format(unix_ms, zone, "%A, %-d %B %Y")
}

/// All of it.
pub fn date_and_time(unix_ms: u64, zone: &TimeZone) -> String {
    format(unix_ms, zone, "%Y-%m-%d %H:%M:%S")
}

/// In few columns: the time if it is today, else the day.
pub fn short(unix_ms: u64, now_ms: u64, zone: &TimeZone) -> String {
    let (Some(then), Some(now)) = (at(unix_ms, zone), at(now_ms, zone)) else {
        return "?".to_owned();
    };
    let how = match (then.date() == now.date(), then.year() == now.year()) {
        (true, _) => "%H:%M",
        (false, true) => "%-d %b",
        (false, false) => "%Y",
    };
    then.strftime(how).to_string()
}

/// Whether two times are on one day.
pub fn is_same_day(a_ms: u64, b_ms: u64, zone: &TimeZone) -> bool {
    at(a_ms, zone).map(|a| a.date()) == at(b_ms, zone).map(|b| b.date())
}
