-- Friends, requests, blocks.

-- What a user has to do with another: one row for each direction.
CREATE TABLE im_relation (
    user_id INTEGER NOT NULL,
    friend_id INTEGER NOT NULL,
    state INTEGER NOT NULL, -- bits: friend, closed, blocked, asked by the other, asked, refused
    asked_ms INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    remark TEXT NOT NULL,
    folder TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (user_id, friend_id)
) STRICT, WITHOUT ROWID;

-- How much a user has of what is bounded.
CREATE TABLE im_tally (
    user_id INTEGER NOT NULL PRIMARY KEY,
    friends INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    blocked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What the two of a 1:1 conversation are to each other: enough to say who may write.
ALTER TABLE im_conversation ADD COLUMN ties INTEGER NOT NULL DEFAULT 0;
