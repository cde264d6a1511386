//! The one table that everything is generated from: commands with their fields, as the descriptors of
//! client.proto say. Knows no value and no connection.

use aldis_wire::{Command, DESCRIPTORS};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind as ProtoKind, MessageDescriptor};

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A varint of 32 or 64 bits.
    Number,
    /// One of these numbers.
    Enum(Vec<i32>),
    /// A flag.
    Flag,
    /// UTF-8.
    Text,
    /// Bytes.
    Bytes,
}

/// A field of a request.
#[derive(Clone, Debug)]
pub struct Field {
    /// As in client.proto.
    pub name: String,
    /// As in client.proto.
    pub number: u32,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may come more than once.
    pub is_repeated: bool,
}

/// A command as a row of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The request.
    pub command: Command,
    /// Its name as in PROTOCOL.md.
    pub name: String,
    /// Fields of its body.
    pub fields: Vec<Field>,
    response: MessageDescriptor,
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Row>,
    notifications: Vec<(Command, MessageDescriptor)>,
    error: MessageDescriptor,
}

impl Default for Table {
    fn default() -> Self {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("the build made them");
        let message = |name: &str| {
            let found = pool.get_message_by_name(&format!("aldis.{name}"));
            found.unwrap_or_else(|| panic!("client.proto names messages like commands: {name}"))
        };
        let rows = Command::REQUESTS.into_iter().map(|command| {
            let name = format!("{command:?}");
            let request = message(&format!("{name}Req"));
            Row {
                command,
                name: documented_name(command),
                fields: request.fields().map(|field| field_of(&field)).collect(),
                response: message(&format!("{name}Resp")),
            }
        });
        let notifications = Command::NOTIFICATIONS.into_iter();
        Self {
            rows: rows.collect(),
            notifications: notifications.map(|c| (c, message(&format!("{c:?}")))).collect(),
            error: message("Error"),
        }
    }
}

impl Table {
    /// All commands.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A command's row.
    pub fn row(&self, command: Command) -> &Row {
        let row = self.rows.iter().find(|row| row.command == command);
        row.expect("every request has a row")
    }

    /// The row of a name as in PROTOCOL.md.
    pub fn named(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The body of the OK answer to a command; `None` if it does not decode.
    pub fn response(&self, command: Command, body: &[u8]) -> Option<DynamicMessage> {
        DynamicMessage::decode(self.row(command).response.clone(), body).ok()
    }

    /// The body of a notification; `None` if it does not decode.
    pub fn notification(&self, command: Command, body: &[u8]) -> Option<DynamicMessage> {
        let (_, message) = self.notifications.iter().find(|(known, _)| *known == command)?;
        DynamicMessage::decode(message.clone(), body).ok()
    }

    /// The body of an answer other than OK; `None` if it does not decode.
    pub fn error(&self, body: &[u8]) -> Option<DynamicMessage> {
        DynamicMessage::decode(self.error.clone(), body).ok()
    }
}

/// The name of a command as in PROTOCOL.md.
pub fn documented_name(command: Command) -> String {
    let mut name = String::new();
    for letter in format!("{command:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn field_of(field: &prost_reflect::FieldDescriptor) -> Field {
    let kind = match field.kind() {
        ProtoKind::Bool => Kind::Flag,
        ProtoKind::String => Kind::Text,
        ProtoKind::Bytes => Kind::Bytes,
        ProtoKind::Enum(values) => Kind::Enum(values.values().map(|v| v.number()).collect()),
        ProtoKind::Uint32 | ProtoKind::Uint64 => Kind::Number,
        other => panic!("requests have no fields of kind {other:?} yet: {}", field.full_name()),
    };
    Field {
        name: field.name().to_owned(),
        number: field.number(),
        kind,
        is_repeated: field.is_list(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_has_a_row_with_its_fields() {
        let table = Table::default();
        assert_eq!(table.rows().len(), Command::REQUESTS.len());
        let row = table.named("MSG_SEND").unwrap();
        assert_eq!(row.command, Command::MsgSend);
        let names: Vec<&str> = row.fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names[..3], ["receiver_id", "group_id", "client_msg_id"]);
        assert!(row.fields.iter().any(|field| field.is_repeated));
        assert!(matches!(&row.fields[3].kind, Kind::Enum(values) if values.contains(&100)));
    }
}
