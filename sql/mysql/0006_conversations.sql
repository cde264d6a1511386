-- What a conversation is to one of its members alone, and how members react to messages. Every
-- statement can be run again.

-- Since when it is pinned, Unix time; 0: it is not. Whether its user wants no notifications. Up to
-- where its user has cleared the history, and how many messages there are up to there.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_read_mark' AND column_name = 'pinned_ms') = 0,
    'ALTER TABLE im_read_mark
         ADD COLUMN pinned_ms BIGINT UNSIGNED NOT NULL DEFAULT 0,
         ADD COLUMN muted BIGINT UNSIGNED NOT NULL DEFAULT 0,
         ADD COLUMN cleared_seq BIGINT UNSIGNED NOT NULL DEFAULT 0,
         ADD COLUMN cleared_no BIGINT UNSIGNED NOT NULL DEFAULT 0,
         ADD KEY im_read_mark_pinned (owner, pinned_ms),
         ADD KEY im_read_mark_cleared (owner, cleared_seq)',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- How many conversations a user pins; the user's row guards it.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_tally' AND column_name = 'pinned') = 0,
    'ALTER TABLE im_tally ADD COLUMN pinned BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- How a user reacts to a message; the conversation's row guards it.
CREATE TABLE IF NOT EXISTS im_reaction (
    lo BIGINT UNSIGNED NOT NULL,
    hi BIGINT UNSIGNED NOT NULL,
    conv_seq BIGINT UNSIGNED NOT NULL,
    user_id BIGINT UNSIGNED NOT NULL,
    reactions VARCHAR(520) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- a line for each
    PRIMARY KEY (lo, hi, conv_seq, user_id)
) ENGINE=InnoDB;
