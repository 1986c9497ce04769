-- What was usual of the answers of a stream of an account, as JSON: what an answer is compared with before its rows are
-- committed. A row without account and stream says that the network's history was looked through.
CREATE TABLE profiles (
    network TEXT NOT NULL, account TEXT NOT NULL, stream TEXT NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (network, account, stream));
