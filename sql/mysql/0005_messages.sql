-- What becomes of messages after they were sent. Every statement can be run again.

-- Of a message that was edited: the conv_seq of the entry with its newest edit.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_message_body' AND column_name = 'edit_seq') = 0,
    'ALTER TABLE im_message_body ADD COLUMN edit_seq BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- Counts changes of what was said in groups: who has left gets no entry that tells of one, so a
-- replica that has all of that one's mailbox may still hold the old text.
CREATE TABLE IF NOT EXISTS im_redaction (
    id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    count BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;

-- What a conversation is to one of its members alone; the row of the user's own conversation guards it.
CREATE TABLE IF NOT EXISTS im_read_mark (
    owner BIGINT UNSIGNED NOT NULL,
    lo BIGINT UNSIGNED NOT NULL,
    hi BIGINT UNSIGNED NOT NULL,
    conv_seq BIGINT UNSIGNED NOT NULL, -- everything up to it is read
    msg_no BIGINT UNSIGNED NOT NULL, -- messages up to there
    PRIMARY KEY (owner, lo, hi)
) ENGINE=InnoDB;

-- What a message refers to: an encoded MessageRefs, empty if there is nothing.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_message_body' AND column_name = 'refs') = 0,
    "ALTER TABLE im_message_body ADD COLUMN refs VARBINARY(512) NOT NULL DEFAULT ''",
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
