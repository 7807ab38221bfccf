/*-------------------------------------------------------------------------
 *
 * text_stream.h
 *	  The change stream for consumers outside: what a text format is given.
 *
 * The capture side (src/capture/external.c) decides what is sent and keeps count; a format
 * (format_*.c) turns each event into messages.  It opens a message, appends to the
 * buffer that it gets, and closes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_CHANGE_TEXT_STREAM_H
#define DERIVE_CHANGE_TEXT_STREAM_H

#include "access/htup.h"
#include "access/xlogdefs.h"
#include "change/json_value.h"
#include "change/request.h"
#include "change/text_options.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"
#include "utils/rel.h"

typedef enum TextOperation
{
	TEXT_INSERT,
	TEXT_UPDATE,
	TEXT_DELETE
} TextOperation;

typedef struct TextColumn
{
	int index; /* in the tuple, from 0 */
	const char *name;
	char *label; /* a comma and the JSON that stands before the value, see TextFormat */
	int label_len;
	char *tail; /* and behind it */
	int tail_len;
	char *placeholder; /* and instead of one that is not at hand; empty: leave it out */
	int placeholder_len;
	bool key;	  /* identifies the row, see text_relation.c */
	bool primary; /* of the primary key */
	ValueWriter writer;
	Oid type;
	int32 typmod;
} TextColumn;

/* What is known of a relation; made under the historic snapshot, see text_relation.c. */
typedef struct TextRelation
{
	Oid relid; /* hash key; must be first */
	bool valid;
	bool chosen; /* by its name; if not, nothing else is set */
	MemoryContext context;
	char *schema;
	char *table;
	char *root_schema; /* of a partition: the table above all; else NULL */
	char *root_table;
	char *heading; /* JSON that names the relation, see TextFormat */
	int heading_len;
	int ncolumns;
	TextColumn *columns;
	bool has_key;
	bool identity_full; /* old rows are logged as a whole */
	int natts;
	Datum *old_values; /* [natts], of the change at hand */
	bool *old_isnull;
	Datum *new_values;
	bool *new_isnull;
	bool *new_missing; /* unchanged out-of-line values that are not at hand */
	uint64 counted_in; /* the transaction whose counter this is */
	struct TextCounter *counter;
} TextRelation;

/* Records of one relation in one transaction, for formats that count them. */
typedef struct TextCounter
{
	char *name;
	uint64 count;
} TextCounter;

/* A transaction whose changes are sent. */
typedef struct TextTransaction
{
	uint64 number;		   /* of this session */
	TransactionId xid;	   /* top-level */
	uint64 full_xid;	   /* with its epoch */
	TransactionId subxid;  /* of the change at hand */
	bool in_progress;	   /* not known to commit: no commit_lsn, no commit_time */
	const char *gid;	   /* of a prepared transaction, or NULL */
	XLogRecPtr commit_lsn; /* start of the record of its commit or prepare */
	XLogRecPtr end_lsn;	   /* end of that record */
	TimestampTz commit_time;
	uint16 origin_id;
	const char *origin;	   /* its name, or NULL: local */
	RequestId request;	   /* that it serves */
	bool request_late;	   /* known only when records have been sent without it */
	uint64 ordinal;		   /* of the change at hand, from 1 */
	uint64 sent;		   /* changes and messages sent */
	bool begun;			   /* begin has been sent, if the format has one */
	StringInfoData head;   /* what a format repeats in each record */
	StringInfoData place;  /* and further on in it */
	uint64 counted;		   /* for formats that count in their own way */
	List *counters;		   /* of TextCounter */
	MemoryContext context; /* of all this */
} TextTransaction;

/* One row that was inserted, updated or deleted; its columns are in the relation. */
typedef struct TextChange
{
	TextOperation operation;
	TextRelation *relation;
	bool has_old; /* an old row was logged, or what identifies it */
	bool has_new;
	bool key_changed; /* of an update */
	XLogRecPtr lsn;
} TextChange;

typedef struct TextTruncate
{
	TextRelation *relation;
	bool cascade;
	bool restart_identity;
	XLogRecPtr lsn;
} TextTruncate;

typedef struct TextMessage
{
	bool is_snapshot; /* a mark: content is a snapshot's text */
	const char *prefix;
	const char *content;
	int content_len;
	XLogRecPtr lsn;
} TextMessage;

/* Records of the two-phase and in-progress protocols. */
typedef enum TextControl
{
	TEXT_PREPARE,
	TEXT_COMMIT_PREPARED,
	TEXT_ROLLBACK_PREPARED,
	TEXT_STREAM_START,
	TEXT_STREAM_STOP,
	TEXT_STREAM_ABORT,
	TEXT_STREAM_COMMIT,
	TEXT_STREAM_PREPARE
} TextControl;

typedef struct TextStream TextStream;

/*
 * A format.  placeholder, begin, commit and control can be NULL: it has no such thing.
 * truncate is called per relation; transaction is NULL for a message outside of any.
 *
 * heading writes the JSON that names a relation; label the JSON that stands before and
 * behind a column's value, placeholder what stands for one that is not at hand.
 */
struct TextFormat
{
	const char *name;
	ValueStyle values;
	bool empty_transactions; /* begin and commit of transactions without a change */
	bool can_prepare;		 /* has records of two-phase transactions */
	bool can_stream;		 /* and of transactions in progress */
	void (*heading)(TextStream *stream, StringInfo out, const TextRelation *relation);
	void (*label)(TextStream *stream, StringInfo out, StringInfo tail,
				  const TextColumn *column);
	void (*placeholder)(StringInfo out, const TextColumn *column);
	void (*begin)(TextStream *stream, TextTransaction *transaction);
	void (*change)(TextStream *stream, TextTransaction *transaction, TextChange *change);
	void (*truncate)(TextStream *stream, TextTransaction *transaction,
					 TextTruncate *truncate);
	void (*message)(TextStream *stream, TextTransaction *transaction,
					TextMessage *message);
	void (*commit)(TextStream *stream, TextTransaction *transaction);
	void (*control)(TextStream *stream, TextTransaction *transaction,
					TextControl control);
};

/* A consumer's session. */
struct TextStream
{
	const TextFormat *format;
	TextOptions options;
	char *database;
	uint64 system;			/* the cluster's identifier */
	XLogRecPtr last_commit; /* of the transaction before this one, 0: none yet */
	StringInfo (*open)(TextStream *stream, bool last);
	void (*close)(TextStream *stream, bool last);
};

/* The formats. */
extern const TextFormat derive_format_cloudevents;
extern const TextFormat derive_format_debezium;
extern const TextFormat derive_format_json;
extern const TextFormat derive_format_wal2json;

/* ---------- text_relation.c ---------- */

/*
 * Fills a relation's entry: whether it is chosen, and if so, how its rows are written.
 * Reads catalogs; the entry keeps what it needs below parent.
 */
extern void derive_text_relation_fill(TextStream *stream, TextRelation *entry,
									  Relation rel, MemoryContext parent);

/* Takes a change's tuples apart into the relation's arrays; either can be NULL. */
extern void derive_text_relation_load(TextRelation *relation, TupleDesc desc,
									  HeapTuple old_tuple, HeapTuple new_tuple);

/* Returns true if an update changed a column of the key. */
extern bool derive_text_key_changed(const TextRelation *relation, TupleDesc desc);

/* ---------- text_rows.c: pieces that several formats share ---------- */

/* Which of a row's columns are written. */
typedef enum TextColumns
{
	COLUMNS_ALL,
	COLUMNS_KEY
} TextColumns;

/*
 * Appends label, value, tail of columns of the new or the old row; what is missing is
 * left out or has the format's placeholder.
 */
extern void
derive_text_put_row(StringInfo out, TextRelation *relation, bool old, TextColumns which);

/* Appends ,"key":{...} ,"old":{...} ,"new":{...} ,"unchanged":[...] as far as there. */
extern void derive_text_put_rows(StringInfo out, const TextChange *change);

/* Appends ,"unchanged":[...], the columns whose values the new row lacks, if there are any. */
extern void derive_text_put_unchanged(StringInfo out, const TextChange *change);

/* A label that is the column's name: "name": */
extern void derive_text_put_label(TextStream *stream, StringInfo out, StringInfo tail,
								  const TextColumn *column);

/* Appends the name of an operation as a string. */
extern void derive_text_put_operation(StringInfo out, TextOperation operation);

/* Appends ,"content":"..." or, for what is no text, ,"content_base64":"...". */
extern void derive_text_put_content(StringInfo out, const TextMessage *message);

/* Appends ,"schema":"...","table":"..." and, of a partition, ,"root":{...}. */
extern void
derive_text_put_names(TextStream *stream, StringInfo out, const TextRelation *relation);

#endif /* DERIVE_CHANGE_TEXT_STREAM_H */
