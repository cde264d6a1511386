-- Aldis in SQLite. Integer keys are packed so that a table is one B-tree in the order in which it
-- is read: (owner << 32 | seq), (conversation number << 32 | conv_seq).

-- Keys that sign tokens.
CREATE TABLE im_key (
    kid TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    active INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The next free number; taken in the transaction that uses it.
CREATE TABLE im_sequence (
    name TEXT PRIMARY KEY,
    next_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO im_sequence (name, next_id) VALUES ('user', 10001), ('group', 10001);

CREATE TABLE im_user (
    user_id INTEGER PRIMARY KEY,
    username TEXT NOT NULL,
    nickname TEXT NOT NULL,
    avatar_url TEXT NOT NULL DEFAULT '',
    password_phc TEXT NOT NULL,
    token_generation INTEGER NOT NULL DEFAULT 0,
    request_id BLOB NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE im_username (
    name TEXT PRIMARY KEY,
    user_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE im_device (
    user_id INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    class INTEGER NOT NULL,
    name TEXT NOT NULL,
    token_generation INTEGER NOT NULL DEFAULT 0,
    cursor INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, device_id)
) STRICT, WITHOUT ROWID;

-- The newest session of each class.
CREATE TABLE im_session (
    user_id INTEGER NOT NULL,
    class INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (user_id, class)
) STRICT, WITHOUT ROWID;

CREATE TABLE im_group (
    group_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    creator_id INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    owner_id INTEGER NOT NULL, -- 0 when the last member left
    member_count INTEGER NOT NULL,
    member_version INTEGER NOT NULL, -- rises with every change of members or roles
    created_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX im_group_once ON im_group (creator_id, request_id);

-- Each stay is a row: what a reader may see of a group's history is join_seq to leave_seq.
CREATE TABLE im_group_member (
    group_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    join_seq INTEGER NOT NULL,
    leave_seq INTEGER NOT NULL, -- 0: still there
    role INTEGER NOT NULL,
    joined_ms INTEGER NOT NULL,
    PRIMARY KEY (group_id, user_id, join_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX im_group_member_now ON im_group_member (user_id, group_id) WHERE leave_seq = 0;

-- Conversations by their derived key; the number only serves to pack keys.
CREATE TABLE im_conversation (
    number INTEGER PRIMARY KEY,
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    UNIQUE (lo, hi)
) STRICT;

-- Both indexes: a row holds a run of consecutive entries of one owner (conversation) from one
-- transaction. The key is the first entry's; msgs is its msg_id, or of several entries a blob of
-- LEB128 numbers: the first msg_id, then each one's distance from the one before.
CREATE TABLE im_message_index (
    key INTEGER PRIMARY KEY, -- owner << 32 | seq
    msgs ANY NOT NULL
) STRICT;
CREATE TABLE im_conversation_index (
    key INTEGER PRIMARY KEY, -- conversation number << 32 | conv_seq
    msgs ANY NOT NULL
) STRICT;

-- One copy of every entry, appended because ids are ordered by time.
CREATE TABLE im_message_body (
    msg_id INTEGER PRIMARY KEY,
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    conv_seq INTEGER NOT NULL,
    msg_no INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    sender_seq INTEGER NOT NULL,
    client_msg_id BLOB, -- null: made by the server
    body_hash INTEGER NOT NULL, -- of the body as first sent
    kind INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    content BLOB NOT NULL,
    extra BLOB NOT NULL
) STRICT;

-- Finds resends: the key is made of the client id's time and a keyed hash of (conversation, sender,
-- client_msg_id); a key that is taken by another message means the next one. Rows are never
-- deleted, because that would cut such chains.
CREATE TABLE im_message_once (
    key INTEGER PRIMARY KEY,
    msg_id INTEGER NOT NULL
) STRICT;
