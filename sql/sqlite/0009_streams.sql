-- Groups whose entries are stored once, and whose members follow them.

-- The entry that made the group such a stream; 0: it is none.
ALTER TABLE im_group ADD COLUMN begin_seq INTEGER NOT NULL DEFAULT 0;
-- The entry that dissolved it; 0: there is none.
ALTER TABLE im_group ADD COLUMN end_seq INTEGER NOT NULL DEFAULT 0;
-- The entry that last changed who is a member of it.
ALTER TABLE im_group ADD COLUMN member_seq INTEGER NOT NULL DEFAULT 0;

-- Which streams a user follows: so that a login need not look at all groups.
CREATE TABLE im_follow (
    user_id INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    start_seq INTEGER NOT NULL, -- what is above it is in the stream for the user
    is_over INTEGER NOT NULL, -- 1: the user is no member any more
    PRIMARY KEY (user_id, group_id)
) STRICT, WITHOUT ROWID;

-- What a device holds safely of a stream.
CREATE TABLE im_stream_cursor (
    user_id INTEGER NOT NULL,
    device_id TEXT NOT NULL,
    group_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (user_id, device_id, group_id)
) STRICT, WITHOUT ROWID;
