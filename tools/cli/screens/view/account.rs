//! Oneself and one's devices, as rows of a list.

use aldis_wire::pb;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::panels::ListRow;
use super::theme::Theme;
use super::{put, times};
use crate::screens::model::{Field, Model, name_of};
use crate::screens::text::{fit, pad};
use crate::terminal::escape_line;

/// Columns of what a field is called.
const LABEL_COLUMNS: usize = 16;
/// Columns of a device's name.
const DEVICE_COLUMNS: usize = 20;

/// Who one is, which does not change; the rest of the area.
pub(super) fn draw_own_name(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let me = model.setting.me;
    let text = format!(" {} (id:{me}) at {}", model.names.username(me), model.setting.place);
    let line = fit(&escape_line(&text), usize::from(area.width));
    put(buffer, area, 0, &Line::styled(line, theme.dim()));
    let used = area.height.min(2);
    Rect { y: area.y + used, height: area.height - used, ..area }
}

pub(super) fn field_row(model: &Model, field: Field) -> ListRow {
    let own = model.names.known_user(model.setting.me);
    let shown = |text: &str| if text.is_empty() { "none".to_owned() } else { escape_line(text) };
    let (label, value) = match field {
        Field::Nickname => ("Name for others", shown(own.map_or("", |own| &own.nickname))),
        Field::Picture => ("Picture", shown(own.map_or("", |own| &own.avatar_url))),
        Field::Audience => {
            let value = match model.account.audience {
                Some(pb::PresenceAudience::PresenceToFriends) => "friends",
                Some(pb::PresenceAudience::PresenceToEverybody) => "everybody",
                Some(pb::PresenceAudience::PresenceToNobody) => "nobody",
                None => "friends, or whom you chose",
            };
            ("Seen online by", value.to_owned())
        }
        Field::Password => ("Password", "********".to_owned()),
    };
    (format!("{} {value}", pad(label, LABEL_COLUMNS)), false)
}

pub(super) fn device_row(model: &Model, device: &pb::DeviceInfo, names: usize) -> ListRow {
    let name = pad(&escape_line(&name_of(device)), names.min(DEVICE_COLUMNS));
    let class = device.device_class().as_str_name().to_lowercase();
    let since = match device.login_time_ms {
        0 => "at some time".to_owned(),
        at_ms => times::short(at_ms, model.now_ms, &model.setting.zone),
    };
    let state = match (model.account.is_logged_out(device), device.is_online) {
        (true, _) => ", logged out",
        (false, true) => ", online",
        (false, false) => "",
    };
    let this = if device.is_this { "this one, " } else { "" };
    let id = escape_line(&device.device_id);
    (format!("{name} {class:<7} {this}since {since}{state}  {id}"), false)
}
