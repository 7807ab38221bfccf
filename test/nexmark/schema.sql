-- schema.sql: the three streams of Nexmark as tables, and the side input of q13, in schema
-- "nexmark".  Bids have no key.

CREATE SCHEMA nexmark;
SET search_path = nexmark;

CREATE TABLE person (
	id bigint PRIMARY KEY,
	name text NOT NULL,
	email_address text NOT NULL,
	credit_card text NOT NULL,
	city text NOT NULL,
	state text NOT NULL,
	date_time timestamp NOT NULL,
	extra text NOT NULL
);

CREATE TABLE auction (
	id bigint PRIMARY KEY,
	item_name text NOT NULL,
	description text NOT NULL,
	initial_bid bigint NOT NULL,
	reserve bigint NOT NULL,
	date_time timestamp NOT NULL,
	expires timestamp NOT NULL,
	seller bigint NOT NULL,
	category bigint NOT NULL,
	extra text NOT NULL
);

CREATE TABLE bid (
	auction bigint NOT NULL,
	bidder bigint NOT NULL,
	price bigint NOT NULL,
	channel text NOT NULL,
	url text NOT NULL,
	date_time timestamp NOT NULL,
	extra text NOT NULL
);

CREATE TABLE side_input (
	key bigint PRIMARY KEY,
	value text NOT NULL
);
