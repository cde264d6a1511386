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

-- Owner and admins of a large group, and who has been in it for longest, without looking at all members.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.statistics
     WHERE table_schema = DATABASE() AND table_name = 'im_group_member'
     AND index_name = 'im_group_member_role') = 0,
    'CREATE INDEX im_group_member_role ON im_group_member (group_id, leave_seq, role, join_seq, user_id)',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
