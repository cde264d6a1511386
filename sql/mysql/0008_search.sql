-- What SEARCH knows of mailboxes: for 64 entries each, which texts cannot be hits. A row follows from the
-- entries; where there is none, the texts themselves are read. Every statement can be run again.
CREATE TABLE IF NOT EXISTS im_search_block (
    owner BIGINT UNSIGNED NOT NULL,
    block BIGINT UNSIGNED NOT NULL, -- entries block * 64 + 1 to block * 64 + 64
    data MEDIUMBLOB NOT NULL,
    PRIMARY KEY (owner, block)
) ENGINE=InnoDB;
