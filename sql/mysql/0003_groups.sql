-- What owner and admins of groups do. Every statement can be run again.

-- What they have set; a group without a row has the defaults. The group's conversation row guards it.
CREATE TABLE IF NOT EXISTS im_group_setting (
    group_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    join_mode BIGINT UNSIGNED NOT NULL, -- 0 by invitation, 1 by request, 2 open
    requests BIGINT UNSIGNED NOT NULL, -- that wait
    announcement TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
) ENGINE=InnoDB;

-- Who asked to come in. Answered ones stay, so that a second answer is told from one to nobody.
CREATE TABLE IF NOT EXISTS im_group_request (
    group_id BIGINT UNSIGNED NOT NULL,
    user_id BIGINT UNSIGNED NOT NULL,
    waiting BIGINT UNSIGNED NOT NULL,
    asked_ms BIGINT UNSIGNED NOT NULL,
    reason VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (group_id, user_id)
) ENGINE=InnoDB;

-- Nobody but owner and admins may speak.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_group' AND column_name = 'muted') = 0,
    'ALTER TABLE im_group ADD COLUMN muted TINYINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- Until when a member may not speak, Unix time.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_group_member'
         AND column_name = 'muted_until_ms') = 0,
    'ALTER TABLE im_group_member ADD COLUMN muted_until_ms BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
