-- What owner and admins of groups do.

-- What they have set; a group without a row has the defaults.
CREATE TABLE im_group_setting (
    group_id INTEGER NOT NULL PRIMARY KEY,
    join_mode INTEGER NOT NULL, -- 0 by invitation, 1 by request, 2 open
    requests INTEGER NOT NULL, -- that wait
    announcement TEXT NOT NULL
) STRICT;

-- Who asked to come in. Answered ones stay, so that a second answer is told from one to nobody.
CREATE TABLE im_group_request (
    group_id INTEGER NOT NULL,
    user_id INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    asked_ms INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (group_id, user_id)
) STRICT, WITHOUT ROWID;

-- Nobody but owner and admins may speak.
ALTER TABLE im_group ADD COLUMN muted INTEGER NOT NULL DEFAULT 0;
-- Until when a member may not speak, Unix time.
ALTER TABLE im_group_member ADD COLUMN muted_until_ms INTEGER NOT NULL DEFAULT 0;
