INSERT INTO ab_api_key (id, uuid, name, key_hash, lookup_hash, key_prefix, user_id, active, created_on) VALUES
  (NEXT VALUE FOR ab_api_key_id_seq, '6f1c8f0e-2f0b-4c55-9d0c-5b3a3a0f6a01', 'dashboards by script',
   'scrypt:32768:8:1$c2FsdA$00', 'f2ca1bb6c7e907d06dafe4687e579fce', 'sst_azy0', 2, 1, '2026-11-01 08:00:00');
INSERT INTO key_value (id, resource, value, uuid, created_on, created_by_fk, expires_on) VALUES
  (1, 'app', '"production''s salt of explore permalinks"', UNHEX(MD5('explore_permalink_salt')), '2026-01-01 00:00:00', NULL, NULL),
  (2, 'app', '"production''s salt of dashboard permalinks"', UNHEX(MD5('dashboard_permalink_salt')), '2026-01-01 00:00:00', NULL, NULL),
  (3, 'superset_metastore_cache', UNHEX('80049500FF5C27220A09'), UNHEX(MD5('cache 1')), '2026-11-20 09:00:00', 2, '2026-11-21 09:00:00'),
  (4, 'superset_metastore_cache', UNHEX(REPEAT('00FF8095', 5000)), UNHEX(MD5('cache 2')), '2026-11-20 09:30:00', 3, '2026-11-21 09:30:00'),
  (5, 'lock', '{"value": true}', UNHEX(MD5('lock')), '2026-11-20 10:00:00', NULL, '2026-11-20 10:00:30'),
  (6, 'pkce_code_verifier', '{"code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}', UNHEX(MD5('pkce')), '2026-11-20 10:05:00', 2, '2026-11-20 10:15:00');
INSERT INTO keyvalue (id, value) VALUES (1, '{"slice_id": 1, "emoji": "😀 größe 日本"}'), (2, '');
INSERT INTO cache_keys (id, cache_key, cache_timeout, datasource_uid, created_on)
  SELECT seq, MD5(CONCAT('cache', seq)), 86400, CONCAT(1 + seq % 40, '__table'), '2026-11-01' + INTERVAL seq MINUTE FROM seq_1_to_300;
INSERT INTO embedded_dashboards (created_on, changed_on, allow_domain_list, uuid, dashboard_id, created_by_fk) VALUES
  ('2026-05-01 00:00:00', '2026-05-01 00:00:00', 'https://wikitech.wikimedia.org', UNHEX(MD5('embedded')), 1, 1);
INSERT INTO favstar (id, user_id, class_name, obj_id, dttm)
  SELECT seq, 1 + seq % 6, 'Dashboard', 1 + seq % 25, '2026-03-01' + INTERVAL seq HOUR FROM seq_1_to_40;
INSERT INTO saved_query (created_on, changed_on, id, user_id, db_id, label, `schema`, `sql`, description, uuid)
  SELECT '2026-02-01', '2026-02-01', seq, 1 + seq % 6, 1 + seq % 5, CONCAT('Saved ', seq), 'wmf',
    CONCAT('SELECT page_title -- größe 日本 😀\n\tFROM wmf.pageview_hourly LIMIT ', seq), NULL, UNHEX(MD5(CONCAT('saved', seq))) FROM seq_1_to_20;
INSERT INTO report_execution_log (id, scheduled_dttm, start_dttm, end_dttm, value, state, report_schedule_id, uuid)
  SELECT seq, '2026-01-05 09:00:00' + INTERVAL seq WEEK, '2026-01-05 09:00:01' + INTERVAL seq WEEK, '2026-01-05 09:00:42' + INTERVAL seq WEEK,
    IF(seq % 3, NULL, seq / 7), 'Success', 1, UNHEX(MD5(CONCAT('execution', seq))) FROM seq_1_to_40;
INSERT INTO tasks (id, uuid, task_key, task_type, task_name, status, dedup_key, created_on, created_by_fk, user_id, payload)
  SELECT seq, UNHEX(MD5(CONCAT('task', seq))), CONCAT('thumbnail-', seq), 'thumbnail', CONCAT('Thumbnail ', seq), 'success', MD5(seq),
    '2026-11-01' + INTERVAL seq HOUR, 1, 1, '{}' FROM seq_1_to_30;
INSERT INTO task_subscribers (id, task_id, user_id, subscribed_at)
  SELECT seq, seq, 1 + seq % 6, '2026-11-01' + INTERVAL seq HOUR FROM seq_1_to_30;
