-- the tables of version 0003 with rows of a vendor and its drop, a register and a report, as `sqlite3 sluis.sqlite .dump` wrote them
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE audit_row (
	id VARCHAR NOT NULL, 
	time DATETIME NOT NULL, 
	actor VARCHAR NOT NULL, 
	origin VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	object VARCHAR NOT NULL, 
	result VARCHAR NOT NULL, 
	detail JSON NOT NULL, 
	leaf INTEGER, 
	PRIMARY KEY (id)
);
CREATE TABLE board (
	number VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	PRIMARY KEY (number)
);
INSERT INTO "board" VALUES('10001','Stichting 10001');
CREATE TABLE "bundle" (
	id VARCHAR NOT NULL, 
	campaign VARCHAR NOT NULL, 
	board VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	reason VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	contents JSON NOT NULL, 
	visible_from DATETIME NOT NULL, 
	created_at DATETIME NOT NULL, 
	withdrawn_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(board) REFERENCES board (number), 
	UNIQUE (campaign, board, version), 
	FOREIGN KEY(campaign) REFERENCES campaign (name)
);
CREATE TABLE campaign (
	name VARCHAR NOT NULL, 
	enrol_until DATE NOT NULL, 
	objections_from DATE NOT NULL, 
	objections_until DATE NOT NULL, 
	deliver_until DATE NOT NULL, 
	publish_from DATETIME NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "campaign" VALUES('2026-M','2026-01-15','2026-01-22','2026-02-15','2026-04-01','2026-06-01 07:00:00.000000','2026-02-20 09:00:00.000000');
CREATE TABLE credential (
	id INTEGER NOT NULL, 
	board VARCHAR NOT NULL, 
	password_hash VARCHAR NOT NULL, 
	issued_at DATETIME NOT NULL, 
	valid_until DATE NOT NULL, 
	revoked_at DATETIME, 
	last_login_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(board) REFERENCES board (number)
);
CREATE TABLE "download" (
	id INTEGER NOT NULL, 
	bundle VARCHAR NOT NULL, 
	board VARCHAR NOT NULL, 
	origin VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	bytes BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(board) REFERENCES board (number), 
	FOREIGN KEY(bundle) REFERENCES bundle (id)
);
CREATE TABLE "drop" (
	id VARCHAR NOT NULL, 
	vendor VARCHAR NOT NULL, 
	folder VARCHAR NOT NULL, 
	file_name VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	raw VARCHAR NOT NULL, 
	bytes BIGINT NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	received_at DATETIME NOT NULL, 
	epoch DATE NOT NULL, 
	erase_before DATETIME NOT NULL, 
	campaign VARCHAR, 
	counts JSON NOT NULL, 
	findings JSON NOT NULL, 
	findings_total INTEGER NOT NULL, 
	waiting_for JSON NOT NULL, 
	linked_at DATETIME, 
	erased_at DATETIME, 
	request VARCHAR NOT NULL, 
	notices JSON NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(vendor) REFERENCES vendor (name), 
	FOREIGN KEY(campaign) REFERENCES campaign (name)
);
INSERT INTO "drop" VALUES('d20260220-aaaaaaaaaaaaaaaa','cito','leveringen','levering-0.csv.age','accepted','held',1234,'0000000000000000000000000000000000000000000000000000000000000000','2026-02-20 09:00:00.000000','2026-02-20','2026-03-13 09:00:00.000000','2026-M','{"rows": 3}','[]',0,'["objections"]',NULL,NULL,'u-1','["limit-day-files"]');
CREATE TABLE drop_school (
	"drop" VARCHAR NOT NULL, 
	school VARCHAR NOT NULL, 
	rows INTEGER NOT NULL, 
	pupils INTEGER NOT NULL, 
	objected_pupils INTEGER NOT NULL, 
	objection_register INTEGER, 
	linked_pupils INTEGER, 
	PRIMARY KEY ("drop", school), 
	FOREIGN KEY("drop") REFERENCES "drop" (id), 
	FOREIGN KEY(school) REFERENCES school (code)
);
INSERT INTO "drop_school" VALUES('d20260220-aaaaaaaaaaaaaaaa','01AA00',3,2,0,NULL,NULL);
CREATE TABLE effect (
	id INTEGER NOT NULL, 
	"drop" VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	due_at DATETIME NOT NULL, 
	attempts INTEGER NOT NULL, 
	claimed_at DATETIME, 
	done_at DATETIME, 
	last_error VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY("drop") REFERENCES "drop" (id)
);
INSERT INTO "effect" VALUES(1,'d20260220-aaaaaaaaaaaaaaaa','link','2026-02-20 09:00:00.000000',0,NULL,NULL,'');
CREATE TABLE enrolment (
	campaign VARCHAR NOT NULL, 
	board VARCHAR NOT NULL, 
	vendor VARCHAR NOT NULL, 
	contract_on DATE, 
	form_on DATE, 
	PRIMARY KEY (campaign, board), 
	FOREIGN KEY(board) REFERENCES board (number), 
	FOREIGN KEY(campaign) REFERENCES campaign (name), 
	FOREIGN KEY(vendor) REFERENCES vendor (name)
);
CREATE TABLE mandate (
	id INTEGER NOT NULL, 
	school VARCHAR NOT NULL, 
	board VARCHAR NOT NULL, 
	valid_from DATE NOT NULL, 
	valid_until DATE, 
	PRIMARY KEY (id), 
	FOREIGN KEY(board) REFERENCES board (number), 
	FOREIGN KEY(school) REFERENCES school (code), 
	UNIQUE (school, valid_from)
);
CREATE TABLE objection (
	id INTEGER NOT NULL, 
	register_id INTEGER NOT NULL, 
	bsn_mac BLOB, 
	onderwijsnummer_mac BLOB, 
	filed_on DATE NOT NULL, 
	withdrawn_on DATE, 
	PRIMARY KEY (id), 
	FOREIGN KEY(register_id) REFERENCES objection_register (id)
);
INSERT INTO "objection" VALUES(1,1,NULL,NULL,'2026-02-09',NULL);
CREATE TABLE objection_register (
	id INTEGER NOT NULL, 
	campaign VARCHAR NOT NULL, 
	school VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	source VARCHAR NOT NULL, 
	received_at DATETIME NOT NULL, 
	objections INTEGER NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(campaign) REFERENCES campaign (name), 
	FOREIGN KEY(school) REFERENCES school (code), 
	UNIQUE (campaign, school, version)
);
INSERT INTO "objection_register" VALUES(1,'2026-M','01AA00',1,'cli','2026-02-10 09:00:00.000000',1);
CREATE TABLE part (
	"drop" VARCHAR NOT NULL, 
	campaign VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	rows INTEGER NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	PRIMARY KEY ("drop"), 
	FOREIGN KEY(campaign) REFERENCES campaign (name), 
	FOREIGN KEY("drop") REFERENCES "drop" (id)
);
CREATE TABLE portal_session (
	token_sha256 VARCHAR NOT NULL, 
	board VARCHAR NOT NULL, 
	csrf VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	last_seen_at DATETIME NOT NULL, 
	PRIMARY KEY (token_sha256), 
	FOREIGN KEY(board) REFERENCES board (number)
);
CREATE TABLE recipient_key (
	name VARCHAR NOT NULL, 
	campaign VARCHAR, 
	made_at DATETIME NOT NULL, 
	retired_at DATETIME, 
	taken_until DATETIME, 
	destroyed_at DATETIME, 
	PRIMARY KEY (name), 
	FOREIGN KEY(campaign) REFERENCES campaign (name)
);
INSERT INTO "recipient_key" VALUES('2026-0001',NULL,'2026-02-20 09:00:00.000000',NULL,NULL,NULL);
CREATE TABLE register_version (
	id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	reference_date DATE, 
	rows INTEGER NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	key_name VARCHAR NOT NULL, 
	imported_at DATETIME NOT NULL, 
	live BOOLEAN NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE report (
	campaign VARCHAR NOT NULL, 
	school VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	file VARCHAR NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	bytes INTEGER NOT NULL, 
	built_at DATETIME NOT NULL, 
	PRIMARY KEY (campaign, school, kind), 
	FOREIGN KEY(campaign) REFERENCES campaign (name), 
	FOREIGN KEY(school) REFERENCES school (code)
);
INSERT INTO "report" VALUES('2026-M','01AA00','growth','2026-M/01AA00.growth.pdf','abababababababababababababababababababababababababababababababab',4096,'2026-03-01 09:00:00.000000');
CREATE TABLE revocation (
	id INTEGER NOT NULL, 
	vendor VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	ca VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	last VARCHAR NOT NULL, 
	added_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(vendor) REFERENCES vendor (name)
);
CREATE TABLE school (
	code VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	street VARCHAR NOT NULL, 
	house_number VARCHAR NOT NULL, 
	postcode VARCHAR NOT NULL, 
	city VARCHAR NOT NULL, 
	municipality VARCHAR NOT NULL, 
	province VARCHAR NOT NULL, 
	denomination VARCHAR NOT NULL, 
	PRIMARY KEY (code)
);
INSERT INTO "school" VALUES('01AA00','Basisschool 01AA00','bo','','','','','','','');
CREATE TABLE "vendor" (
	name VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	removed_at DATETIME, 
	limits JSON NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "vendor" VALUES('cito','2026-02-20 09:00:00.000000',NULL,'{"day_files_per_vendor": 10}');
INSERT INTO "vendor" VALUES('boom','2026-02-20 09:00:00.000000','2026-02-21 09:00:00.000000','{}');
CREATE TABLE vendor_ca (
	id INTEGER NOT NULL, 
	vendor VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	public_key VARCHAR NOT NULL, 
	principals JSON NOT NULL, 
	sources JSON NOT NULL, 
	added_at DATETIME NOT NULL, 
	valid_from DATETIME, 
	valid_until DATETIME, 
	revoked_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(vendor) REFERENCES vendor (name)
);
CREATE TABLE "vendor_key" (
	id INTEGER NOT NULL, 
	vendor VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	public_key VARCHAR NOT NULL, 
	sources JSON NOT NULL, 
	added_at DATETIME NOT NULL, 
	revoked_at DATETIME, 
	verify_required BOOLEAN NOT NULL, valid_from DATETIME, valid_until DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(vendor) REFERENCES vendor (name)
);
INSERT INTO "vendor_key" VALUES(1,'cito','SHA256:DT9HR9jlmPAnBGcVRVdKF36vjVLaYZhk3/gYJFWOMDA','ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILKQgZT6BwXm3DFWGvPqPr5PTZnF5JtZ3Ad6mEBvo8oG','["192.0.2.0/24"]','2026-02-20 09:00:00.000000',NULL,FALSE,NULL,NULL);
CREATE TABLE vendor_login (
	vendor VARCHAR NOT NULL, 
	fingerprint VARCHAR NOT NULL, 
	last_at DATETIME NOT NULL, 
	origin VARCHAR NOT NULL, 
	logins INTEGER NOT NULL, 
	PRIMARY KEY (vendor, fingerprint), 
	FOREIGN KEY(vendor) REFERENCES vendor (name)
);
INSERT INTO "vendor_login" VALUES('cito','SHA256:DT9HR9jlmPAnBGcVRVdKF36vjVLaYZhk3/gYJFWOMDA','2026-02-20 09:00:00.000000','192.0.2.1',3);
CREATE INDEX ix_audit_row_action ON audit_row (action);
CREATE INDEX ix_audit_row_leaf ON audit_row (leaf);
CREATE INDEX ix_audit_row_object ON audit_row (object);
CREATE INDEX ix_register_version_kind ON register_version (kind);
CREATE INDEX ix_credential_board ON credential (board);
CREATE INDEX ix_mandate_board ON mandate (board);
CREATE INDEX ix_mandate_school ON mandate (school);
CREATE INDEX ix_objection_register_campaign ON objection_register (campaign);
CREATE INDEX ix_objection_register_school ON objection_register (school);
CREATE INDEX ix_portal_session_board ON portal_session (board);
CREATE INDEX ix_effect_drop ON effect ("drop");
CREATE INDEX ix_effect_due_at ON effect (due_at);
CREATE INDEX ix_objection_register_id ON objection (register_id);
CREATE INDEX ix_part_campaign ON part (campaign);
CREATE INDEX ix_vendor_key_vendor ON vendor_key (vendor);
CREATE INDEX ix_vendor_key_fingerprint ON vendor_key (fingerprint);
CREATE INDEX ix_drop_vendor ON "drop" (vendor);
CREATE INDEX ix_bundle_campaign ON bundle (campaign);
CREATE INDEX ix_bundle_board ON bundle (board);
CREATE INDEX ix_download_board ON download (board);
CREATE INDEX ix_download_bundle ON download (bundle);
CREATE INDEX ix_drop_name ON "drop" (vendor, folder, file_name);
CREATE INDEX ix_vendor_ca_vendor ON vendor_ca (vendor);
CREATE INDEX ix_vendor_ca_fingerprint ON vendor_ca (fingerprint);
CREATE INDEX ix_revocation_looked_up ON revocation (vendor, kind, value);
COMMIT;
