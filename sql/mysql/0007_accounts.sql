-- Devices and sessions as their users see them, who may see whether they are there. Every statement can
-- be run again.

-- Who may see whether a user is online; one without a row has the default.
CREATE TABLE IF NOT EXISTS im_presence (
    user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    audience BIGINT UNSIGNED NOT NULL -- 0 friends, 1 everybody, 2 nobody
) ENGINE=InnoDB;

-- When a session of the user last began or ended, Unix time; a little wrong after a crash.
CREATE TABLE IF NOT EXISTS im_last_seen (
    user_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    seen_ms BIGINT UNSIGNED NOT NULL
) ENGINE=InnoDB;

-- When the device last logged in, Unix time.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_device' AND column_name = 'login_ms') = 0,
    'ALTER TABLE im_device ADD COLUMN login_ms BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- Sessions up to this epoch were revoked.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_session' AND column_name = 'revoked') = 0,
    'ALTER TABLE im_session ADD COLUMN revoked BIGINT UNSIGNED NOT NULL DEFAULT 0',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;

-- On which device the newest session is; empty: that is not known.
SET @ddl = IF(
    (SELECT COUNT(*) FROM information_schema.columns
     WHERE table_schema = DATABASE() AND table_name = 'im_session' AND column_name = 'device_id') = 0,
    'ALTER TABLE im_session ADD COLUMN device_id VARBINARY(64) NOT NULL DEFAULT ''''',
    'DO 0');
PREPARE ddl FROM @ddl;
EXECUTE ddl;
DEALLOCATE PREPARE ddl;
