-- Groups whose entries are stored once, and whose members follow them. Every statement can be run again.

-- The entry that made the group a stream, whose entries are stored once; 0: it is none.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_group' AND column_name = 'begin_seq') = 0,
    'ALTER TABLE im_group ADD COLUMN begin_seq BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- The entry that dissolved it; 0: there is none.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_group' AND column_name = 'end_seq') = 0,
    'ALTER TABLE im_group ADD COLUMN end_seq BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- The entry that last changed who is a member of it.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_group' AND column_name = 'member_seq') = 0,
    'ALTER TABLE im_group ADD COLUMN member_seq BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- Which streams a user follows: so that a login need not look at all groups. The group's conversation
-- row guards it.
CREATE TABLE IF NOT EXISTS im_follow (
    user_id BIGINT UNSIGNED NOT NULL,
    group_id BIGINT UNSIGNED NOT NULL,
    start_seq BIGINT UNSIGNED NOT NULL, -- what is above it is in the stream for the user
    is_over BIGINT UNSIGNED NOT NULL, -- 1: the user is no member any more
    PRIMARY KEY (user_id, group_id)
) ENGINE=InnoDB;

-- What a device holds safely of a stream.
CREATE TABLE IF NOT EXISTS im_stream_cursor (
    user_id BIGINT UNSIGNED NOT NULL,
    device_id VARBINARY(64) NOT NULL,
    group_id BIGINT UNSIGNED NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (user_id, device_id, group_id)
) ENGINE=InnoDB;
