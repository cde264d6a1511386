-- The highest epoch that a session of the class ever had: `epoch` goes back to an older one when a login
-- comes to nothing, and what was issued once is not issued again. Every statement can be run again.

-- MySQL cannot add a column only if there is none.
SET @lacks = (SELECT COUNT(*) = 0 FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE()
    AND TABLE_NAME = 'im_session' AND COLUMN_NAME = 'issued');
SET @change = IF(@lacks,
    'ALTER TABLE im_session ADD COLUMN issued BIGINT UNSIGNED NOT NULL DEFAULT 0', 'DO 0');
PREPARE change_of_im_session FROM @change;
EXECUTE change_of_im_session;
DEALLOCATE PREPARE change_of_im_session;
