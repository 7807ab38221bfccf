/*-------------------------------------------------------------------------
 *
 * format_debezium.c
 *	  The format "debezium": change events in Debezium's envelope.
 *
 * After the documentation of Debezium's connector for PostgreSQL (2.x): the payload of its
 * JSON converter without schemas.  A change of the key is a delete of the old key, a
 * tombstone, and a create.  With keys or tombstones, a message is an object of "key" and
 * "value", since one without the other says nothing; a tombstone has the value null.
 *
 * "before" holds what the log does: all columns with REPLICA IDENTITY FULL, those of the
 * key otherwise, if they changed.  What is not at hand is Debezium's own placeholder.
 *
 * "sequence" shows the last transaction before this one that this session has decoded,
 * as the connector does.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "change/json.h"
#include "change/text_stream.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define UNAVAILABLE "__debezium_unavailable_value"

/* Microseconds from 1970-01-01 to 2000-01-01. */
#define EPOCH_MICROSECONDS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Appends a moment in ms, µs and ns: "ts_ms":…,"ts_us":…,"ts_ns":… */
static void
put_times(StringInfo out, TimestampTz time)
{
	int64 microseconds = time + EPOCH_MICROSECONDS;
	char digits[MAXINT8LEN + 1];
	int len = pg_lltoa(microseconds, digits);

	derive_json_literal(out, "\"ts_ms\":");
	if (len > 4) /* a sign and three digits are less than 1 ms */
		derive_json_piece(out, digits, len - 3);
	else
		derive_json_int64(out, microseconds / 1000);
	derive_json_literal(out, ",\"ts_us\":");
	derive_json_piece(out, digits, len);
	derive_json_literal(out, ",\"ts_ns\":");
	derive_json_piece(out, digits, len);
	if (microseconds != 0)
		derive_json_literal(out, "000");
}

/* Appends "txId:position", a transaction's id. */
static void
put_transaction_id(StringInfo out, const TextTransaction *transaction)
{
	derive_json_literal(out, "\"");
	derive_json_uint64(out, transaction->xid);
	derive_json_literal(out, ":");
	derive_json_uint64(out, transaction->commit_lsn);
	derive_json_literal(out, "\"");
}

/* Appends the start of a source block, up to the position in its "sequence". */
static void
put_source_head(TextStream *stream, StringInfo out, TimestampTz time)
{
	const char *name = stream->options.source ? stream->options.source : stream->database;

	derive_json_literal(out, "\"source\":{\"version\":\"" DERIVE_VERSION
							 "\",\"connector\":\"postgresql\",\"name\":");
	derive_json_cstring(out, name);
	derive_json_literal(out, ",");
	put_times(out, time);
	derive_json_literal(out, ",\"snapshot\":\"false\",\"db\":");
	derive_json_cstring(out, stream->database);
	derive_json_literal(out, ",\"sequence\":\"[");
	if (stream->last_commit == InvalidXLogRecPtr)
		derive_json_literal(out, "null");
	else
	{
		derive_json_literal(out, "\\\"");
		derive_json_uint64(out, stream->last_commit);
		derive_json_literal(out, "\\\"");
	}
	derive_json_literal(out, ",\\\"");
}

/* Appends what stands between the relation and the position in a source block. */
static void
put_source_place(StringInfo out, const TextTransaction *transaction)
{
	derive_json_literal(out, ",\"txId\":");
	if (transaction)
		derive_json_uint64(out, transaction->xid);
	else
		derive_json_literal(out, "null");
	derive_json_literal(out, ",\"lsn\":");
}

/* Appends a source block; the heading names the relation. */
static void
put_source(TextStream *stream, StringInfo out, TextTransaction *transaction,
		   XLogRecPtr lsn, const char *heading, int heading_len)
{
	char position[MAXINT8LEN + 1];
	int position_len = pg_ulltoa_n(lsn, position);

	if (transaction == NULL)
		put_source_head(stream, out, GetCurrentTimestamp());
	else
	{
		if (transaction->head.len == 0)
		{
			put_source_head(stream, &transaction->head, transaction->commit_time);
			put_source_place(&transaction->place, transaction);
		}
		derive_json_piece(out, transaction->head.data, transaction->head.len);
	}
	derive_json_piece(out, position, position_len);
	derive_json_literal(out, "\\\"]\"");
	derive_json_piece(out, heading, heading_len);
	if (transaction == NULL)
		put_source_place(out, NULL);
	else
		derive_json_piece(out, transaction->place.data, transaction->place.len);
	derive_json_piece(out, position, position_len);
	derive_json_literal(out, ",\"xmin\":null}");
}

/* Returns the transaction's counter of a relation. */
static TextCounter *
get_counter(TextTransaction *transaction, TextRelation *relation)
{
	MemoryContext old;
	TextCounter *counter;
	char *name;
	ListCell *lc;

	if (relation->counted_in == transaction->number)
		return relation->counter;
	old = MemoryContextSwitchTo(transaction->context);
	name = psprintf("%s.%s", relation->schema, relation->table);
	counter = NULL;
	foreach (lc, transaction->counters)
		if (strcmp(((TextCounter *) lfirst(lc))->name, name) == 0)
			counter = lfirst(lc);
	if (counter == NULL)
	{
		counter = palloc0(sizeof(TextCounter));
		counter->name = name;
		transaction->counters = lappend(transaction->counters, counter);
	}
	MemoryContextSwitchTo(old);
	relation->counted_in = transaction->number;
	relation->counter = counter;
	return counter;
}

/* Appends the transaction block of an event, and counts the event. */
static void
put_transaction(TextStream *stream, StringInfo out, TextTransaction *transaction,
				TextRelation *relation)
{
	TextCounter *counter;

	if (!stream->options.transaction_metadata || transaction == NULL)
	{
		derive_json_literal(out, ",\"transaction\":null");
		return;
	}
	derive_json_literal(out, ",\"transaction\":{\"id\":");
	put_transaction_id(out, transaction);
	derive_json_literal(out, ",\"total_order\":");
	derive_json_uint64(out, ++transaction->counted);
	if (relation)
	{
		counter = get_counter(transaction, relation);
		derive_json_literal(out, ",\"data_collection_order\":");
		derive_json_uint64(out, ++counter->count);
	}
	derive_json_literal(out, "}");
}

/* Appends what follows the source: operation, time of processing, transaction. */
static void
put_tail(TextStream *stream, StringInfo out, TextTransaction *transaction,
		 TextRelation *relation, char op)
{
	derive_json_literal(out, ",\"op\":\"");
	derive_json_piece(out, &op, 1);
	derive_json_literal(out, "\",");
	put_times(out, GetCurrentTimestamp());
	put_transaction(stream, out, transaction, relation);
}

/* Opens a message whose key is that of a row, or of the new row; ends before its value. */
static StringInfo
open_keyed(TextStream *stream, TextRelation *relation, bool old, bool last)
{
	StringInfo out = stream->open(stream, last);

	if (!stream->options.keys)
		return out;
	derive_json_literal(out, "{\"key\":");
	if (relation && relation->has_key)
	{
		derive_json_literal(out, "{");
		derive_text_put_row(out, relation, old, COLUMNS_KEY);
		derive_json_literal(out, "}");
	}
	else
		derive_json_literal(out, "null");
	derive_json_literal(out, ",\"value\":");
	return out;
}

/* Closes a message. */
static void
close_keyed(TextStream *stream, StringInfo out, bool last)
{
	if (stream->options.keys)
		derive_json_literal(out, "}");
	stream->close(stream, last);
}

/* Appends {row}, or null if there is none. */
static void
put_row(StringInfo out, TextRelation *relation, bool there, bool old)
{
	if (!there)
	{
		derive_json_literal(out, "null");
		return;
	}
	derive_json_literal(out, "{");
	derive_text_put_row(out, relation, old,
						old && !relation->identity_full ? COLUMNS_KEY : COLUMNS_ALL);
	derive_json_literal(out, "}");
}

/* Sends one event of a row. */
static void
send_event(TextStream *stream, TextTransaction *transaction, TextChange *change, char op,
		   bool last)
{
	TextRelation *relation = change->relation;
	bool before = change->has_old && op != 'c';
	bool after = change->has_new && op != 'd';
	/* the key of an update is the new row's: it has not changed */
	StringInfo out = open_keyed(stream, relation, !after && change->has_old, last);

	derive_json_literal(out, "{\"before\":");
	put_row(out, relation, before, true);
	derive_json_literal(out, ",\"after\":");
	put_row(out, relation, after, false);
	derive_json_literal(out, ",");
	put_source(stream, out, transaction, change->lsn, relation->heading,
			   relation->heading_len);
	put_tail(stream, out, transaction, relation, op);
	derive_json_literal(out, "}");
	close_keyed(stream, out, last);
}

/* Sends the deletion of the old row, and a tombstone behind it if that was asked for. */
static void
send_delete(TextStream *stream, TextTransaction *transaction, TextChange *change,
			bool last)
{
	bool tombstone = stream->options.tombstones && change->relation->has_key &&
					 change->has_old;
	StringInfo out;

	send_event(stream, transaction, change, 'd', last && !tombstone);
	if (!tombstone)
		return;
	out = open_keyed(stream, change->relation, true, last);
	derive_json_literal(out, "null");
	close_keyed(stream, out, last);
}

static void
debezium_change(TextStream *stream, TextTransaction *transaction, TextChange *change)
{
	switch (change->operation)
	{
		case TEXT_INSERT:
			send_event(stream, transaction, change, 'c', true);
			break;
		case TEXT_UPDATE:
			if (!change->key_changed)
			{
				send_event(stream, transaction, change, 'u', true);
				break;
			}
			send_delete(stream, transaction, change, false);
			send_event(stream, transaction, change, 'c', true);
			break;
		case TEXT_DELETE:
			send_delete(stream, transaction, change, true);
			break;
	}
}

static void
debezium_truncate(TextStream *stream, TextTransaction *transaction,
				  TextTruncate *truncate)
{
	TextRelation *relation = truncate->relation;
	StringInfo out = open_keyed(stream, NULL, false, true);

	derive_json_literal(out, "{\"before\":null,\"after\":null,");
	put_source(stream, out, transaction, truncate->lsn, relation->heading,
			   relation->heading_len);
	put_tail(stream, out, transaction, relation, 't');
	derive_json_literal(out, "}");
	close_keyed(stream, out, true);
}

static void
debezium_message(TextStream *stream, TextTransaction *transaction, TextMessage *message)
{
	static const char no_names[] = ",\"schema\":\"\",\"table\":\"\"";
	StringInfo out = stream->open(stream, true);

	if (stream->options.keys)
	{
		derive_json_literal(out, "{\"key\":{\"prefix\":");
		derive_json_cstring(out, message->prefix);
		derive_json_literal(out, "},\"value\":");
	}
	derive_json_literal(out, "{");
	put_source(stream, out, transaction, message->lsn, no_names, strlen(no_names));
	put_tail(stream, out, transaction, NULL, 'm');
	derive_json_literal(out, ",\"message\":{\"prefix\":");
	derive_json_cstring(out, message->prefix);
	derive_json_literal(out, ",\"content\":");
	derive_json_base64(out, message->content, message->content_len);
	derive_json_literal(out, "}}");
	close_keyed(stream, out, true);
}

/* Opens a message about a transaction, up to its id. */
static StringInfo
open_boundary(TextStream *stream, const TextTransaction *transaction, const char *status)
{
	StringInfo out = stream->open(stream, true);

	if (stream->options.keys)
	{
		derive_json_literal(out, "{\"key\":{\"id\":");
		put_transaction_id(out, transaction);
		derive_json_literal(out, "},\"value\":");
	}
	derive_json_literal(out, "{\"status\":");
	derive_json_cstring(out, status);
	derive_json_literal(out, ",\"id\":");
	put_transaction_id(out, transaction);
	return out;
}

/* Closes a message about a transaction with its time. */
static void
close_boundary(TextStream *stream, StringInfo out, const TextTransaction *transaction)
{
	derive_json_literal(out, ",\"ts_ms\":");
	derive_json_int64(out, (transaction->commit_time + EPOCH_MICROSECONDS) / 1000);
	derive_json_literal(out, "}");
	close_keyed(stream, out, true);
}

static void
debezium_begin(TextStream *stream, TextTransaction *transaction)
{
	StringInfo out;

	if (!stream->options.transaction_metadata)
		return;
	out = open_boundary(stream, transaction, "BEGIN");
	derive_json_literal(out, ",\"event_count\":null,\"data_collections\":null");
	close_boundary(stream, out, transaction);
}

static void
debezium_commit(TextStream *stream, TextTransaction *transaction)
{
	StringInfo out;
	ListCell *lc;

	if (!stream->options.transaction_metadata)
		return;
	out = open_boundary(stream, transaction, "END");
	derive_json_literal(out, ",\"event_count\":");
	derive_json_uint64(out, transaction->counted);
	derive_json_literal(out, ",\"data_collections\":[");
	foreach (lc, transaction->counters)
	{
		const TextCounter *counter = lfirst(lc);

		if (foreach_current_index(lc) > 0)
			derive_json_literal(out, ",");
		derive_json_literal(out, "{\"data_collection\":");
		derive_json_cstring(out, counter->name);
		derive_json_literal(out, ",\"event_count\":");
		derive_json_uint64(out, counter->count);
		derive_json_literal(out, "}");
	}
	derive_json_literal(out, "]");
	close_boundary(stream, out, transaction);
}

/* The heading is part of the source block. */
static void
debezium_heading(TextStream *stream, StringInfo out, const TextRelation *relation)
{
	derive_json_literal(out, ",\"schema\":");
	derive_json_cstring(out, relation->schema);
	derive_json_literal(out, ",\"table\":");
	derive_json_cstring(out, relation->table);
}

/* What stands for a value that is not at hand, in the shape that its type has. */
static void
debezium_placeholder(StringInfo out, const TextColumn *column)
{
	if (column->writer.type == BYTEAOID)
		derive_json_base64(out, UNAVAILABLE, strlen(UNAVAILABLE));
	else if (column->writer.element)
		derive_json_literal(out, "[\"" UNAVAILABLE "\"]");
	else
		derive_json_literal(out, "\"" UNAVAILABLE "\"");
}

const TextFormat derive_format_debezium = {
	.name = "debezium",
	.values = VALUES_DEBEZIUM,
	.heading = debezium_heading,
	.label = derive_text_put_label,
	.placeholder = debezium_placeholder,
	.begin = debezium_begin,
	.change = debezium_change,
	.truncate = debezium_truncate,
	.message = debezium_message,
	.commit = debezium_commit,
};
