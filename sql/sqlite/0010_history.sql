-- Groups that let newcomers read what was said before.

-- The first entry that the member can read in this stay; 0: the one that says that it begins.
ALTER TABLE im_group_member ADD COLUMN from_seq INTEGER NOT NULL DEFAULT 0;
-- From where newcomers can read: the entry that said so; 0: from where they come in.
ALTER TABLE im_group_setting ADD COLUMN open_seq INTEGER NOT NULL DEFAULT 0;

-- Owner and admins of a large group, and who has been in it for longest, without looking at all members.
CREATE INDEX im_group_member_role ON im_group_member (group_id, role, join_seq, user_id)
    WHERE leave_seq = 0;
