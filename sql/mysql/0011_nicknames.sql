-- Users are found by the beginning of their nickname, too. Every statement can be run again.

-- The nickname as it is compared. Of accounts from before it is only nearly so, until they change it.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_user' AND column_name = 'nick_key') = 0,
    'ALTER TABLE im_user ADD COLUMN
         nick_key VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT ''''',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

UPDATE im_user SET nick_key = LOWER(LEFT(nickname, 64)) WHERE nick_key = '';

SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.statistics
     WHERE table_schema = DATABASE() AND table_name = 'im_user'
     AND index_name = 'im_user_nick') = 0,
    'CREATE INDEX im_user_nick ON im_user (nick_key)',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
