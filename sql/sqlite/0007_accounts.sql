-- Devices and sessions as their users see them, who may see whether they are there.

-- Who may see whether a user is online; one without a row has the default.
CREATE TABLE im_presence (
    user_id INTEGER NOT NULL PRIMARY KEY,
    audience INTEGER NOT NULL -- 0 friends, 1 everybody, 2 nobody
) STRICT, WITHOUT ROWID;

-- When a session of the user last began or ended, Unix time; a little wrong after a crash.
CREATE TABLE im_last_seen (
    user_id INTEGER NOT NULL PRIMARY KEY,
    seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- When the device last logged in, Unix time.
ALTER TABLE im_device ADD COLUMN login_ms INTEGER NOT NULL DEFAULT 0;
-- Sessions up to this epoch were revoked.
ALTER TABLE im_session ADD COLUMN revoked INTEGER NOT NULL DEFAULT 0;
-- On which device the newest session is; empty: that is not known.
ALTER TABLE im_session ADD COLUMN device_id TEXT NOT NULL DEFAULT '';
