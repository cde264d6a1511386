-- Users are found by the beginning of their nickname, too.

-- The nickname as it is compared. Of accounts from before it is only nearly so, until they change it.
ALTER TABLE im_user ADD COLUMN nick_key TEXT NOT NULL DEFAULT '';
UPDATE im_user SET nick_key = lower(substr(nickname, 1, 64));
CREATE INDEX im_user_nick ON im_user (nick_key);
