-- Aldis in MariaDB and MySQL. No foreign keys, no AUTO_INCREMENT: every hot table is keyed by its
-- shard key (owner or conversation), so that tables can be spread over servers later. Every
-- statement can be run again: DDL commits by itself, and a crash may leave half of a migration.
-- What clients name freely (device ids, client ids) is binary: it compares byte by byte.

-- Keys that sign tokens.
CREATE TABLE IF NOT EXISTS im_key (
    kid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    secret VARBINARY(64) NOT NULL,
    created_ms BIGINT UNSIGNED NOT NULL,
    active TINYINT UNSIGNED NOT NULL
) ENGINE=InnoDB;

-- The next free number; taken in the transaction that uses it.
CREATE TABLE IF NOT EXISTS im_sequence (
    name VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    next_id BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;
INSERT IGNORE INTO im_sequence (name, next_id) VALUES ('user', 10001), ('group', 10001);

-- Which process is which node, and up to what time it may make message ids.
CREATE TABLE IF NOT EXISTS im_node (
    node_id SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
    boot_id BIGINT UNSIGNED NOT NULL, -- random, made at each start of the process
    host VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- for people
    machine VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- where the process is
    process VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, -- its pid and start time
    reserved_ms BIGINT UNSIGNED NOT NULL, -- Unix time that no id of this node has passed
    lease_end_ms BIGINT UNSIGNED NOT NULL -- Unix time by the database's clock
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS im_user (
    user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    username VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    nickname VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    avatar_url VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
    password_phc VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    token_generation INT UNSIGNED NOT NULL DEFAULT 0,
    request_id BINARY(16) NOT NULL,
    created_ms BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS im_username (
    name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL PRIMARY KEY,
    user_id BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS im_device (
    user_id BIGINT UNSIGNED NOT NULL,
    device_id VARBINARY(64) NOT NULL,
    class TINYINT UNSIGNED NOT NULL,
    name VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    token_generation INT UNSIGNED NOT NULL DEFAULT 0,
    cursor_seq BIGINT UNSIGNED NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, device_id)
) ENGINE=InnoDB;

-- The newest session of each class.
CREATE TABLE IF NOT EXISTS im_session (
    user_id BIGINT UNSIGNED NOT NULL,
    class TINYINT UNSIGNED NOT NULL,
    epoch BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (user_id, class)
) ENGINE=InnoDB;

CREATE TABLE IF NOT EXISTS im_group (
    group_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    name VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    creator_id BIGINT UNSIGNED NOT NULL,
    request_id BINARY(16) NOT NULL,
    owner_id BIGINT UNSIGNED NOT NULL, -- 0 when the last member left
    member_count INT UNSIGNED NOT NULL,
    created_ms BIGINT UNSIGNED NOT NULL,
    UNIQUE KEY im_group_once (creator_id, request_id)
) ENGINE=InnoDB;

-- Each stay is a row: what a reader may see of a group's history is join_seq to leave_seq.
CREATE TABLE IF NOT EXISTS im_group_member (
    group_id BIGINT UNSIGNED NOT NULL,
    user_id BIGINT UNSIGNED NOT NULL,
    join_seq BIGINT UNSIGNED NOT NULL,
    leave_seq BIGINT UNSIGNED NOT NULL, -- 0: still there
    role TINYINT UNSIGNED NOT NULL,
    joined_ms BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (group_id, user_id, join_seq),
    KEY im_group_member_now (user_id, leave_seq, group_id)
) ENGINE=InnoDB;

-- Counters of conversations by their derived key: (user_lo, user_hi), or (0, group). A row guards
-- its conversation and, for a group, its members and roles: whoever reads them to write locks it.
CREATE TABLE IF NOT EXISTS im_conversation (
    lo BIGINT UNSIGNED NOT NULL,
    hi BIGINT UNSIGNED NOT NULL,
    max_seq BIGINT UNSIGNED NOT NULL DEFAULT 0, -- entries
    msg_count BIGINT UNSIGNED NOT NULL DEFAULT 0, -- messages among them
    change_seq BIGINT UNSIGNED NOT NULL DEFAULT 0, -- rises with every change of anything in it
    fanout_mode TINYINT UNSIGNED NOT NULL DEFAULT 0, -- 0: a mailbox row for each member
    member_version BIGINT UNSIGNED NOT NULL DEFAULT 0, -- rises with every change of members or roles
    PRIMARY KEY (lo, hi)
) ENGINE=InnoDB;

-- One copy of every entry, appended because ids are ordered by time. Resends are found by their
-- client id, which comes first because clients make it time-ordered.
CREATE TABLE IF NOT EXISTS im_message_body (
    msg_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    lo BIGINT UNSIGNED NOT NULL,
    hi BIGINT UNSIGNED NOT NULL,
    conv_seq BIGINT UNSIGNED NOT NULL,
    msg_no BIGINT UNSIGNED NOT NULL,
    sender BIGINT UNSIGNED NOT NULL,
    sender_seq BIGINT UNSIGNED NOT NULL,
    client_msg_id BINARY(16) NULL, -- null: made by the server
    body_hash BIGINT NOT NULL, -- of the body as first sent
    kind INT NOT NULL,
    time_ms BIGINT UNSIGNED NOT NULL,
    flags INT UNSIGNED NOT NULL DEFAULT 0,
    content MEDIUMBLOB NOT NULL,
    extra BLOB NOT NULL,
    bytes INT UNSIGNED AS (LENGTH(content) + LENGTH(extra)) STORED, -- pages are planned by it
    UNIQUE KEY im_message_place (lo, hi, conv_seq),
    UNIQUE KEY im_message_once (client_msg_id, sender, lo, hi)
) ENGINE=InnoDB;

-- Counters of mailboxes.
CREATE TABLE IF NOT EXISTS im_mailbox (
    owner BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    max_seq BIGINT UNSIGNED NOT NULL,
    trimmed_seq BIGINT UNSIGNED NOT NULL DEFAULT 0
) ENGINE=InnoDB;

-- What is in them.
CREATE TABLE IF NOT EXISTS im_message_index (
    owner BIGINT UNSIGNED NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    msg_id BIGINT UNSIGNED NOT NULL,
    bytes INT UNSIGNED NOT NULL, -- of content and extra: pages are planned by it
    PRIMARY KEY (owner, seq)
) ENGINE=InnoDB;

-- A row for each connection that makes sure that what it read is on disk: see durable.rs.
CREATE TABLE IF NOT EXISTS im_barrier (
    connection BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    count BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;
