-- What becomes of messages after they were sent.

-- Of a message that was edited: the conv_seq of the entry with its newest edit.
ALTER TABLE im_message_body ADD COLUMN edit_seq INTEGER NOT NULL DEFAULT 0;

-- What a conversation is to one of its members alone.
CREATE TABLE im_read_mark (
    owner INTEGER NOT NULL,
    lo INTEGER NOT NULL,
    hi INTEGER NOT NULL,
    conv_seq INTEGER NOT NULL, -- everything up to it is read
    msg_no INTEGER NOT NULL, -- messages up to there
    PRIMARY KEY (owner, lo, hi)
) STRICT, WITHOUT ROWID;

-- What a message refers to: an encoded MessageRefs, empty if there is nothing.
ALTER TABLE im_message_body ADD COLUMN refs BLOB NOT NULL DEFAULT x'';
