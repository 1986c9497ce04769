-- Alarms that aren't resolved, one per rule and subject.
CREATE TABLE alarms (
    rule TEXT NOT NULL, subject TEXT NOT NULL, alarm_id TEXT NOT NULL UNIQUE, state TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (rule, subject));
-- Changes of alarms that the lake doesn't have yet.
CREATE TABLE alarm_events (event_id TEXT NOT NULL PRIMARY KEY, content TEXT NOT NULL);
-- Messages to receivers that weren't delivered yet. Times are milliseconds since 1970.
CREATE TABLE alarm_messages (
    message_id TEXT NOT NULL PRIMARY KEY, alarm_id TEXT NOT NULL, receiver TEXT NOT NULL, event TEXT NOT NULL,
    content TEXT NOT NULL, attempts BIGINT NOT NULL, made_at BIGINT NOT NULL, due_at BIGINT NOT NULL);
CREATE INDEX alarm_messages_by_time ON alarm_messages (due_at);
