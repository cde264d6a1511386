-- Friends, requests, blocks. Every statement can be run again.

-- What a user has to do with another: one row for each direction. The 1:1 conversation's row guards
-- both; its `ties` say who may write, so that a message needs no look at these.
CREATE TABLE IF NOT EXISTS im_relation (
    user_id BIGINT UNSIGNED NOT NULL,
    friend_id BIGINT UNSIGNED NOT NULL,
    state BIGINT UNSIGNED NOT NULL, -- bits: friend, closed, blocked, asked by the other, asked, refused
    asked_ms BIGINT UNSIGNED NOT NULL,
    since_ms BIGINT UNSIGNED NOT NULL,
    remark VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    folder VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    reason VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (user_id, friend_id)
) ENGINE=InnoDB;

-- How much a user has of what is bounded; the user's row guards it.
CREATE TABLE IF NOT EXISTS im_tally (
    user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    friends BIGINT UNSIGNED NOT NULL,
    requests BIGINT UNSIGNED NOT NULL,
    blocked BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;

-- What the two of a 1:1 conversation are to each other: enough to say who may write.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_conversation' AND column_name = 'ties') = 0,
    'ALTER TABLE im_conversation ADD COLUMN ties TINYINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
