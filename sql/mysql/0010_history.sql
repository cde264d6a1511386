-- Groups that let newcomers read what was said before. Every statement can be run again.

-- The first entry that the member can read in this stay; 0: the one that says that it begins.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_group_member'
     AND column_name = 'from_seq') = 0,
    'ALTER TABLE im_group_member ADD COLUMN from_seq BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- From where newcomers can read: the entry that said so; 0: from where they come in.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_group_setting'
     AND column_name = 'open_seq') = 0,
    'ALTER TABLE im_group_setting ADD COLUMN open_seq BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
