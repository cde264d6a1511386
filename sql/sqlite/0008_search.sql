-- What SEARCH knows of mailboxes: for 64 entries each, which texts cannot be hits. A row follows from the
-- entries; where there is none, the texts themselves are read.
CREATE TABLE im_search_block (
    owner INTEGER NOT NULL,
    block INTEGER NOT NULL, -- entries block * 64 + 1 to block * 64 + 64
    data BLOB NOT NULL,
    PRIMARY KEY (owner, block)
) STRICT;
