DELETE FROM tagged_object WHERE object_type = 'chart' AND object_id > 130;
DELETE FROM tagged_object WHERE object_type = 'dashboard' AND object_id > 22;
DELETE FROM slices WHERE id > 130;
DELETE FROM dashboards WHERE id > 22;
UPDATE dashboards SET dashboard_title = 'Tried out on staging' WHERE id = 22;
UPDATE report_schedule SET active = 0;
UPDATE dbs SET changed_on = '2026-06-01 12:00:00';
INSERT INTO key_value (id, resource, value, uuid, created_on) VALUES
  (1, 'app', '"staging''s salt of explore permalinks"', UNHEX(MD5('explore_permalink_salt')), '2026-01-01 00:00:00');
INSERT INTO logs (id, action, user_id, json, dttm, referrer)
  SELECT seq, 'dashboard', 1 + seq % 6, '{}', '2026-06-01 12:00:00' + INTERVAL seq MINUTE, 'https://superset-next.wikimedia.org/' FROM seq_1_to_50;
