/*-------------------------------------------------------------------------
 *
 * format_wal2json.c
 *	  The format "wal2json": the records of wal2json's format-version 2.
 *
 * Field by field what wal2json 2.5 writes, so that its consumers need no change, except
 * where wal2json loses something:
 *  - NaN and infinity are strings, not null;
 *  - a change of a row without replica identity is sent, without "identity", instead of
 *    being left out;
 *  - a value that an update left alone and that the log does not hold is missing from
 *    "columns", as in wal2json, but its column is named in "unchanged";
 *  - a message that is no text is sent as hexadecimal digits, which "encoding" says,
 *    instead of up to its first zero byte.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "change/json.h"
#include "change/text_stream.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/* Appends a time as a value of type timestamptz. */
static void
put_time(StringInfo out, TimestampTz time)
{
	ValueWriter writer;

	/* without a look at the catalogs, unless it is far from now */
	if (derive_json_clock(out, time, ' ', "+00"))
		return;
	derive_value_prepare(&writer, TIMESTAMPTZOID, -1, VALUES_WAL2JSON,
						 CurrentMemoryContext);
	derive_value_write(out, &writer, TimestampTzGetDatum(time));
}

/* Appends the fields that the options choose; transaction can be NULL. */
static void
put_head(TextStream *stream, StringInfo out, const TextTransaction *transaction)
{
	const TextOptions *options = &stream->options;

	if (options->include_xids)
	{
		derive_json_literal(out, ",\"xid\":");
		if (transaction)
			derive_json_uint64(out, transaction->xid);
		else
			derive_json_literal(out, "null");
	}
	if (options->include_timestamp)
	{
		derive_json_literal(out, ",\"timestamp\":");
		if (transaction)
			put_time(out, transaction->commit_time);
		else
			derive_json_literal(out, "null");
	}
	if (options->include_origin)
	{
		derive_json_literal(out, ",\"origin\":");
		if (transaction)
			derive_json_uint64(out, transaction->origin_id);
		else
			derive_json_literal(out, "null");
	}
}

/* Appends what each record of a transaction says of it, and where the record is. */
static void
put_place(TextStream *stream, StringInfo out, TextTransaction *transaction,
		  XLogRecPtr lsn)
{
	if (transaction == NULL)
		put_head(stream, out, NULL);
	else
	{
		if (transaction->head.len == 0)
			put_head(stream, &transaction->head, transaction);
		derive_json_piece(out, transaction->head.data, transaction->head.len);
	}
	if (stream->options.include_lsn)
	{
		derive_json_literal(out, ",\"lsn\":");
		derive_json_lsn(out, lsn);
	}
}

/* Sends the record of a begin or a commit. */
static void
send_boundary(TextStream *stream, TextTransaction *transaction, const char *action)
{
	StringInfo out;

	if (!stream->options.include_transaction)
		return;
	out = stream->open(stream, true);
	derive_json_literal(out, "{\"action\":");
	derive_json_cstring(out, action);
	put_place(stream, out, transaction, transaction->commit_lsn);
	if (stream->options.include_lsn)
	{
		derive_json_literal(out, ",\"nextlsn\":");
		derive_json_lsn(out, transaction->end_lsn);
	}
	derive_json_literal(out, "}");
	stream->close(stream, true);
}

static void
wal2json_begin(TextStream *stream, TextTransaction *transaction)
{
	send_boundary(stream, transaction, "B");
}

static void
wal2json_commit(TextStream *stream, TextTransaction *transaction)
{
	send_boundary(stream, transaction, "C");
}

/* Returns a type's name as wal2json shows it: without the quotes of a quoted identifier. */
static char *
type_name(const TextOptions *options, const TextColumn *column)
{
	char *name = options->include_typmod
					 ? format_type_with_typemod(column->type, column->typmod)
					 : format_type_be(column->type);
	int len = strlen(name);
	int at = 0;

	if (name[0] != '"' || name[len - 1] != '"' || strstr(name, "\".\"") != NULL)
		return name;
	for (int i = 1; i < len - 1; i++)
	{
		name[at++] = name[i];
		if (name[i] == '"')
			i++;
	}
	name[at] = '\0';
	return name;
}

static void
wal2json_label(TextStream *stream, StringInfo out, StringInfo tail,
			   const TextColumn *column)
{
	derive_json_literal(out, "{\"name\":");
	derive_json_cstring(out, column->name);
	if (stream->options.include_types)
	{
		derive_json_literal(out, ",\"type\":");
		derive_json_cstring(out, type_name(&stream->options, column));
	}
	derive_json_literal(out, ",\"value\":");
	derive_json_literal(tail, "}");
}

static void
wal2json_heading(TextStream *stream, StringInfo out, const TextRelation *relation)
{
	if (stream->options.include_schemas)
	{
		derive_json_literal(out, ",\"schema\":");
		derive_json_cstring(out, relation->schema);
	}
	derive_json_literal(out, ",\"table\":");
	derive_json_cstring(out, relation->table);
}

/* Appends the columns of the primary key, as their labels up to the value. */
static void
put_primary_key(StringInfo out, const TextRelation *relation)
{
	const int value_len = strlen(",\"value\":");
	int first = 1; /* no comma */

	derive_json_literal(out, ",\"pk\":[");
	for (int i = 0; i < relation->ncolumns; i++)
	{
		const TextColumn *column = &relation->columns[i];

		if (!column->primary)
			continue;
		derive_json_piece(out, column->label + first,
						  column->label_len - value_len - first);
		first = 0;
		derive_json_literal(out, "}");
	}
	derive_json_literal(out, "]");
}

/* Appends what identifies the row before the change; the new row shows a key that stayed. */
static void
put_identity(StringInfo out, const TextChange *change)
{
	TextRelation *relation = change->relation;

	if (change->operation == TEXT_INSERT)
		return;
	if (!change->has_old && (!relation->has_key || !change->has_new))
		return;
	derive_json_literal(out, ",\"identity\":[");
	derive_text_put_row(out, relation, change->has_old,
						change->has_old && relation->identity_full ? COLUMNS_ALL
																   : COLUMNS_KEY);
	derive_json_literal(out, "]");
}

static void
wal2json_change(TextStream *stream, TextTransaction *transaction, TextChange *change)
{
	TextRelation *relation = change->relation;
	StringInfo out = stream->open(stream, true);

	switch (change->operation)
	{
		case TEXT_INSERT:
			derive_json_literal(out, "{\"action\":\"I\"");
			break;
		case TEXT_UPDATE:
			derive_json_literal(out, "{\"action\":\"U\"");
			break;
		case TEXT_DELETE:
			derive_json_literal(out, "{\"action\":\"D\"");
			break;
	}
	put_place(stream, out, transaction, change->lsn);
	derive_json_piece(out, relation->heading, relation->heading_len);
	if (change->has_new)
	{
		derive_json_literal(out, ",\"columns\":[");
		derive_text_put_row(out, relation, false, COLUMNS_ALL);
		derive_json_literal(out, "]");
	}
	put_identity(out, change);
	if (stream->options.include_pk)
		put_primary_key(out, relation);
	derive_text_put_unchanged(out, change);
	derive_json_literal(out, "}");
	stream->close(stream, true);
}

static void
wal2json_truncate(TextStream *stream, TextTransaction *transaction,
				  TextTruncate *truncate)
{
	StringInfo out = stream->open(stream, true);

	derive_json_literal(out, "{\"action\":\"T\"");
	put_place(stream, out, transaction, truncate->lsn);
	derive_json_piece(out, truncate->relation->heading, truncate->relation->heading_len);
	derive_json_literal(out, "}");
	stream->close(stream, true);
}

static void
wal2json_message(TextStream *stream, TextTransaction *transaction, TextMessage *message)
{
	StringInfo out = stream->open(stream, true);

	derive_json_literal(out, "{\"action\":\"M\"");
	put_place(stream, out, transaction, message->lsn);
	derive_json_literal(out, ",\"transactional\":");
	derive_json_bool(out, transaction != NULL);
	derive_json_literal(out, ",\"prefix\":");
	derive_json_cstring(out, message->prefix);
	derive_json_literal(out, ",\"content\":");
	if (derive_json_is_text(message->content, message->content_len))
		derive_json_string(out, message->content, message->content_len);
	else
	{
		derive_json_hex(out, "", message->content, message->content_len);
		derive_json_literal(out, ",\"encoding\":\"hex\"");
	}
	derive_json_literal(out, "}");
	stream->close(stream, true);
}

const TextFormat derive_format_wal2json = {
	.name = "wal2json",
	.values = VALUES_WAL2JSON,
	.empty_transactions = true,
	.heading = wal2json_heading,
	.label = wal2json_label,
	.begin = wal2json_begin,
	.change = wal2json_change,
	.truncate = wal2json_truncate,
	.message = wal2json_message,
	.commit = wal2json_commit,
};
