/*-------------------------------------------------------------------------
 *
 * format_json.c
 *	  The format "json": pg_derive's own records.
 *
 * Each message is one JSON object.  "v" is the version of the format: it rises when a
 * field changes its meaning or goes; new fields and new values of "op" can come without
 * that.  "op" says what the record is.  docs/reference/change-stream.md has all fields.
 *
 * The only format that has records for two-phase transactions and for transactions in
 * progress.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/json.h"
#include "change/text_stream.h"

/* Opens a record of this "op", which is followed by fields that begin with a comma. */
#define OPEN_RECORD(out, op) derive_json_literal((out), "{\"v\":1,\"op\":\"" op "\"")

/* Appends where and when a transaction committed, or was prepared. */
static void
put_end(StringInfo out, const TextTransaction *transaction)
{
	if (transaction->gid)
	{
		derive_json_literal(out, ",\"gid\":");
		derive_json_cstring(out, transaction->gid);
		derive_json_literal(out, ",\"prepare_lsn\":");
		derive_json_lsn(out, transaction->commit_lsn);
		derive_json_literal(out, ",\"prepare_time\":");
	}
	else
	{
		derive_json_literal(out, ",\"commit_lsn\":");
		derive_json_lsn(out, transaction->commit_lsn);
		derive_json_literal(out, ",\"commit_time\":");
	}
	derive_json_time(out, transaction->commit_time);
}

/* Appends the id of the request that a transaction serves. */
static void
put_request(StringInfo out, const TextTransaction *transaction)
{
	derive_json_literal(out, ",\"request_id\":");
	derive_json_cstring(out, transaction->request.text);
}

/* Returns what each record of a transaction says of it. */
static StringInfo
get_head(TextTransaction *transaction)
{
	StringInfo head = &transaction->head;

	if (head->len > 0)
		return head;
	derive_json_literal(head, ",\"xid\":");
	derive_json_uint64(head, transaction->full_xid);
	if (!transaction->in_progress)
		put_end(head, transaction);
	if (transaction->origin)
	{
		derive_json_literal(head, ",\"origin\":");
		derive_json_cstring(head, transaction->origin);
	}
	if (transaction->request.len > 0 && !transaction->request_late)
		put_request(head, transaction);
	return head;
}

/* Appends a subtransaction's id with its epoch; it was given out after the transaction's. */
static void
put_subxid(StringInfo out, const TextTransaction *transaction)
{
	derive_json_literal(out, ",\"subxid\":");
	derive_json_uint64(out, transaction->full_xid +
								(uint32) (transaction->subxid - transaction->xid));
}

/* Appends what a record of a change says of its transaction and its place in it. */
static void
put_place(StringInfo out, TextTransaction *transaction, XLogRecPtr lsn)
{
	if (transaction)
	{
		StringInfo head = get_head(transaction);

		derive_json_piece(out, head->data, head->len);
		if (transaction->in_progress && transaction->subxid != transaction->xid)
			put_subxid(out, transaction);
		derive_json_literal(out, ",\"ordinal\":");
		derive_json_uint64(out, transaction->ordinal);
	}
	derive_json_literal(out, ",\"lsn\":");
	derive_json_lsn(out, lsn);
}

/* Closes a record. */
static void
close_record(TextStream *stream, StringInfo out)
{
	derive_json_literal(out, "}");
	stream->close(stream, true);
}

static void
json_begin(TextStream *stream, TextTransaction *transaction)
{
	StringInfo head = get_head(transaction);
	StringInfo out = stream->open(stream, true);

	OPEN_RECORD(out, "begin");
	derive_json_piece(out, head->data, head->len);
	close_record(stream, out);
}

static void
json_change(TextStream *stream, TextTransaction *transaction, TextChange *change)
{
	TextRelation *relation = change->relation;
	StringInfo out = stream->open(stream, true);

	derive_json_literal(out, "{\"v\":1,\"op\":");
	derive_text_put_operation(out, change->operation);
	put_place(out, transaction, change->lsn);
	derive_json_piece(out, relation->heading, relation->heading_len);
	derive_text_put_rows(out, change);
	close_record(stream, out);
}

static void
json_truncate(TextStream *stream, TextTransaction *transaction, TextTruncate *truncate)
{
	StringInfo out = stream->open(stream, true);

	OPEN_RECORD(out, "truncate");
	put_place(out, transaction, truncate->lsn);
	derive_json_piece(out, truncate->relation->heading, truncate->relation->heading_len);
	derive_json_literal(out, ",\"cascade\":");
	derive_json_bool(out, truncate->cascade);
	derive_json_literal(out, ",\"restart_identity\":");
	derive_json_bool(out, truncate->restart_identity);
	close_record(stream, out);
}

static void
json_message(TextStream *stream, TextTransaction *transaction, TextMessage *message)
{
	StringInfo out = stream->open(stream, true);

	if (message->is_snapshot)
		OPEN_RECORD(out, "snapshot");
	else
		OPEN_RECORD(out, "message");
	put_place(out, transaction, message->lsn);
	if (message->is_snapshot)
	{
		derive_json_literal(out, ",\"snapshot\":");
		derive_json_string(out, message->content, message->content_len);
	}
	else
	{
		derive_json_literal(out, ",\"transactional\":");
		derive_json_bool(out, transaction != NULL);
		derive_json_literal(out, ",\"prefix\":");
		derive_json_cstring(out, message->prefix);
		derive_text_put_content(out, message);
	}
	close_record(stream, out);
}

/*
 * Appends what ends a transaction: the request, if records went before it was known; how
 * far the log is read, how much was sent.
 */
static void
put_totals(StringInfo out, const TextTransaction *transaction)
{
	if (transaction->request_late)
		put_request(out, transaction);
	derive_json_literal(out, ",\"end_lsn\":");
	derive_json_lsn(out, transaction->end_lsn);
	derive_json_literal(out, ",\"records\":");
	derive_json_uint64(out, transaction->sent);
}

static void
json_commit(TextStream *stream, TextTransaction *transaction)
{
	StringInfo head = get_head(transaction);
	StringInfo out = stream->open(stream, true);

	OPEN_RECORD(out, "commit");
	derive_json_piece(out, head->data, head->len);
	put_totals(out, transaction);
	close_record(stream, out);
}

/* Names the record of a two-phase or in-progress transaction. */
static const char *
control_name(TextControl control)
{
	switch (control)
	{
		case TEXT_PREPARE:
			return "prepare";
		case TEXT_COMMIT_PREPARED:
			return "commit_prepared";
		case TEXT_ROLLBACK_PREPARED:
			return "rollback_prepared";
		case TEXT_STREAM_START:
			return "stream_start";
		case TEXT_STREAM_STOP:
			return "stream_stop";
		case TEXT_STREAM_ABORT:
			return "stream_abort";
		case TEXT_STREAM_COMMIT:
			return "stream_commit";
		case TEXT_STREAM_PREPARE:
			return "stream_prepare";
	}
	pg_unreachable();
}

/* Appends where and when the second phase was; the gid says of which transaction. */
static void
put_second_phase(StringInfo out, const TextTransaction *transaction, const char *time)
{
	derive_json_literal(out, ",\"gid\":");
	derive_json_cstring(out, transaction->gid);
	derive_json_literal(out, ",\"lsn\":");
	derive_json_lsn(out, transaction->commit_lsn);
	derive_json_literal(out, ",\"");
	derive_json_piece(out, time, strlen(time));
	derive_json_literal(out, "\":");
	derive_json_time(out, transaction->commit_time);
}

static void
json_control(TextStream *stream, TextTransaction *transaction, TextControl control)
{
	StringInfo out = stream->open(stream, true);

	derive_json_literal(out, "{\"v\":1,\"op\":");
	derive_json_cstring(out, control_name(control));
	derive_json_literal(out, ",\"xid\":");
	derive_json_uint64(out, transaction->full_xid);
	switch (control)
	{
		case TEXT_STREAM_START:
			derive_json_literal(out, ",\"first\":");
			derive_json_bool(out, transaction->sent == 0);
			break;
		case TEXT_STREAM_ABORT:
			if (transaction->subxid != transaction->xid)
				put_subxid(out, transaction);
			break;
		case TEXT_COMMIT_PREPARED:
			put_second_phase(out, transaction, "commit_time");
			break;
		case TEXT_ROLLBACK_PREPARED:
			put_second_phase(out, transaction, "rollback_time");
			break;
		case TEXT_PREPARE:
		case TEXT_STREAM_PREPARE:
		case TEXT_STREAM_COMMIT:
			put_end(out, transaction);
			put_totals(out, transaction);
			break;
		case TEXT_STREAM_STOP:
			break;
	}
	close_record(stream, out);
}

const TextFormat derive_format_json = {
	.name = "json",
	.values = VALUES_POSTGRES,
	.can_prepare = true,
	.can_stream = true,
	.heading = derive_text_put_names,
	.label = derive_text_put_label,
	.begin = json_begin,
	.change = json_change,
	.truncate = json_truncate,
	.message = json_message,
	.commit = json_commit,
	.control = json_control,
};
