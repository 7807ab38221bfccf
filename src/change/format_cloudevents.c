/*-------------------------------------------------------------------------
 *
 * format_cloudevents.c
 *	  The format "cloudevents": CloudEvents 1.0 in JSON, one event per change.
 *
 * After https://github.com/cloudevents/spec, JSON event format 1.0.  source and id
 * together are unique per event and the same whenever it is sent: id is the cluster's
 * system identifier, the commit's position and the ordinal in the transaction, whatever
 * the options choose.  A message outside of a transaction has its own position and 0.
 *
 * There are no events for begin and commit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/json.h"
#include "change/text_stream.h"

/* Appends the source: the option's, or /postgresql/<system>/<database>, a URI reference. */
static void
put_source(TextStream *stream, StringInfo out)
{
	const char *database = stream->database;

	derive_json_literal(out, ",\"source\":");
	if (stream->options.source)
	{
		derive_json_cstring(out, stream->options.source);
		return;
	}
	appendStringInfo(out, "\"/postgresql/" UINT64_FORMAT "/", stream->system);
	for (; *database != '\0'; database++)
	{
		unsigned char c = *database;

		if ((c < 0x80 && isalnum(c)) || c == '-' || c == '_' || c == '.' || c == '~')
			appendStringInfoChar(out, c);
		else
			appendStringInfo(out, "%%%02X", c);
	}
	derive_json_literal(out, "\"");
}

/* Appends an event's attributes up to its id, and of that what comes before the ordinal. */
static void
put_head(TextStream *stream, StringInfo out, XLogRecPtr lsn, const TimestampTz *time,
		 const RequestId *request)
{
	derive_json_literal(out, "{\"specversion\":\"1.0\"");
	put_source(stream, out);
	if (time)
	{
		derive_json_literal(out, ",\"time\":");
		derive_json_time(out, *time);
	}
	if (request && request->len > 0)
	{
		derive_json_literal(out, ",\"requestid\":");
		derive_json_cstring(out, request->text);
	}
	derive_json_literal(out, ",\"datacontenttype\":\"application/json\",\"id\":\"");
	appendStringInfo(out, UINT64_FORMAT ":%X/%X:", stream->system, LSN_FORMAT_ARGS(lsn));
}

/* Opens an event up to its type, which the caller appends. */
static StringInfo
open_event(TextStream *stream, TextTransaction *transaction, XLogRecPtr lsn)
{
	StringInfo out = stream->open(stream, true);

	if (transaction)
	{
		StringInfo head = &transaction->head;

		if (head->len == 0)
			put_head(stream, head, transaction->commit_lsn, &transaction->commit_time,
					 &transaction->request);
		derive_json_piece(out, head->data, head->len);
		derive_json_uint64(out, transaction->ordinal);
	}
	else
	{
		put_head(stream, out, lsn, NULL, NULL);
		derive_json_literal(out, "0");
	}
	derive_json_literal(out, "\",\"type\":");
	return out;
}

/* Appends what data says of the change's transaction and its place in it. */
static void
put_place(StringInfo out, TextTransaction *transaction, XLogRecPtr lsn)
{
	if (transaction)
	{
		StringInfo place = &transaction->place;

		if (place->len == 0)
		{
			derive_json_literal(place, ",\"xid\":");
			derive_json_uint64(place, transaction->full_xid);
			derive_json_literal(place, ",\"commit_lsn\":");
			derive_json_lsn(place, transaction->commit_lsn);
			derive_json_literal(place, ",\"ordinal\":");
		}
		derive_json_piece(out, place->data, place->len);
		derive_json_uint64(out, transaction->ordinal);
	}
	derive_json_literal(out, ",\"lsn\":");
	derive_json_lsn(out, lsn);
	if (transaction && transaction->origin)
	{
		derive_json_literal(out, ",\"origin\":");
		derive_json_cstring(out, transaction->origin);
	}
}

/* The heading is the subject, "schema.table", and the data up to the names. */
static void
cloudevents_heading(TextStream *stream, StringInfo out, const TextRelation *relation)
{
	char *subject = psprintf("%s.%s", relation->schema, relation->table);
	StringInfoData names;

	derive_json_literal(out, ",\"subject\":");
	derive_json_cstring(out, subject);
	derive_json_literal(out, ",\"data\":{");
	initStringInfo(&names);
	derive_text_put_names(stream, &names, relation);
	/* they begin with a comma */
	derive_json_piece(out, names.data + 1, names.len - 1);
	pfree(names.data);
	pfree(subject);
}

/* Closes data and event. */
static void
close_event(TextStream *stream, StringInfo out)
{
	derive_json_literal(out, "}}");
	stream->close(stream, true);
}

static void
cloudevents_change(TextStream *stream, TextTransaction *transaction, TextChange *change)
{
	StringInfo out = open_event(stream, transaction, change->lsn);

	switch (change->operation)
	{
		case TEXT_INSERT:
			derive_json_literal(out, "\"pg_derive.insert\"");
			break;
		case TEXT_UPDATE:
			derive_json_literal(out, "\"pg_derive.update\"");
			break;
		case TEXT_DELETE:
			derive_json_literal(out, "\"pg_derive.delete\"");
			break;
	}
	derive_json_piece(out, change->relation->heading, change->relation->heading_len);
	put_place(out, transaction, change->lsn);
	derive_text_put_rows(out, change);
	close_event(stream, out);
}

static void
cloudevents_truncate(TextStream *stream, TextTransaction *transaction,
					 TextTruncate *truncate)
{
	StringInfo out = open_event(stream, transaction, truncate->lsn);

	derive_json_literal(out, "\"pg_derive.truncate\"");
	derive_json_piece(out, truncate->relation->heading, truncate->relation->heading_len);
	put_place(out, transaction, truncate->lsn);
	derive_json_literal(out, ",\"cascade\":");
	derive_json_bool(out, truncate->cascade);
	derive_json_literal(out, ",\"restart_identity\":");
	derive_json_bool(out, truncate->restart_identity);
	close_event(stream, out);
}

static void
cloudevents_message(TextStream *stream, TextTransaction *transaction,
					TextMessage *message)
{
	StringInfo out = open_event(stream, transaction, message->lsn);

	if (message->is_snapshot)
	{
		derive_json_literal(out, "\"pg_derive.snapshot\",\"data\":{\"snapshot\":");
		derive_json_string(out, message->content, message->content_len);
		put_place(out, transaction, message->lsn);
	}
	else
	{
		derive_json_literal(out, "\"pg_derive.message\",\"subject\":");
		derive_json_cstring(out, message->prefix);
		derive_json_literal(out, ",\"data\":{\"prefix\":");
		derive_json_cstring(out, message->prefix);
		put_place(out, transaction, message->lsn);
		derive_text_put_content(out, message);
	}
	close_event(stream, out);
}

const TextFormat derive_format_cloudevents = {
	.name = "cloudevents",
	.values = VALUES_POSTGRES,
	.heading = cloudevents_heading,
	.label = derive_text_put_label,
	.change = cloudevents_change,
	.truncate = cloudevents_truncate,
	.message = cloudevents_message,
};
