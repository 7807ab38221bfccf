/*-------------------------------------------------------------------------
 *
 * text_options.h
 *	  What a consumer outside asks for; capture/external_options.c reads it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_TEXT_OPTIONS_H
#define DERIVE_CHANGE_TEXT_OPTIONS_H

#include "nodes/pg_list.h"

typedef struct TextFormat TextFormat;

/* Bits of TextOptions.operations. */
#define OPERATION_INSERT 0x01
#define OPERATION_UPDATE 0x02
#define OPERATION_DELETE 0x04
#define OPERATION_TRUNCATE 0x08
#define OPERATION_ALL 0x0f

typedef struct TextOptions
{
	const TextFormat *format;

	/* what is sent; lists of patterns (pattern.h), NIL: the default */
	List *tables;
	List *columns;
	List *messages;
	List *origins;
	bool local_only; /* nothing that came from another server */
	int operations;
	bool snapshot_marks;
	bool streaming;

	/* cloudevents, debezium */
	char *source; /* NULL: the default */

	/* debezium */
	bool keys;
	bool tombstones;
	bool transaction_metadata;

	/* wal2json */
	bool include_lsn;
	bool include_origin;
	bool include_pk;
	bool include_schemas;
	bool include_timestamp;
	bool include_transaction;
	bool include_types;
	bool include_typmod;
	bool include_xids;
} TextOptions;

#endif /* DERIVE_CHANGE_TEXT_OPTIONS_H */
