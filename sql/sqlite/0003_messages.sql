-- What becomes of messages after they were sent.

-- Of a message that was edited: the conv_seq of the entry with its newest edit.
ALTER TABLE im_message_body ADD COLUMN edit_seq INTEGER NOT NULL DEFAULT 0;
