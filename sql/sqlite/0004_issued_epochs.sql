-- The highest epoch that a session of the class ever had: `epoch` goes back to an older one when a login
-- comes to nothing, and what was issued once is not issued again.
ALTER TABLE im_session ADD COLUMN issued INTEGER NOT NULL DEFAULT 0;
