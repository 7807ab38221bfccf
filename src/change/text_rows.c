/*-------------------------------------------------------------------------
 *
 * text_rows.c
 *	  Pieces of records that several text formats share.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "change/json.h"
#include "change/text_stream.h"

void
derive_text_put_row(StringInfo out, TextRelation *relation, bool old, TextColumns which)
{
	const Datum *values = old ? relation->old_values : relation->new_values;
	const bool *isnull = old ? relation->old_isnull : relation->new_isnull;
	int first = 1;

	for (int i = 0; i < relation->ncolumns; i++)
	{
		TextColumn *column = &relation->columns[i];
		int at = column->index;
		bool missing = !old && relation->new_missing[at];

		if ((which == COLUMNS_KEY && !column->key) ||
			(missing && column->placeholder_len == 0))
			continue;
		/* the comma in front is for those that follow another */
		derive_json_piece(out, column->label + first, column->label_len - first);
		first = 0;
		if (missing)
			derive_json_piece(out, column->placeholder, column->placeholder_len);
		else if (isnull[at])
			derive_json_literal(out, "null");
		else
			derive_value_write(out, &column->writer, values[at]);
		if (column->tail_len > 0)
			derive_json_piece(out, column->tail, column->tail_len);
	}
}

/* Appends ,"unchanged":[names] if the new row lacks values. */
static void
put_unchanged(StringInfo out, const TextRelation *relation)
{
	bool first = true;

	for (int i = 0; i < relation->ncolumns; i++)
	{
		if (!relation->new_missing[relation->columns[i].index])
			continue;
		if (first)
			derive_json_literal(out, ",\"unchanged\":[");
		else
			derive_json_literal(out, ",");
		first = false;
		derive_json_cstring(out, relation->columns[i].name);
	}
	if (!first)
		derive_json_literal(out, "]");
}

void
derive_text_put_unchanged(StringInfo out, const TextChange *change)
{
	/* only an update leaves values alone */
	if (change->operation == TEXT_UPDATE && change->has_new)
		put_unchanged(out, change->relation);
}

void
derive_text_put_rows(StringInfo out, const TextChange *change)
{
	TextRelation *relation = change->relation;

	if (relation->has_key && (change->has_old || change->has_new))
	{
		derive_json_literal(out, ",\"key\":{");
		derive_text_put_row(out, relation, change->has_old, COLUMNS_KEY);
		derive_json_literal(out, "}");
	}
	if (change->has_old)
	{
		derive_json_literal(out, ",\"old\":{");
		derive_text_put_row(out, relation, true,
							relation->identity_full ? COLUMNS_ALL : COLUMNS_KEY);
		derive_json_literal(out, "}");
	}
	if (change->has_new)
	{
		derive_json_literal(out, ",\"new\":{");
		derive_text_put_row(out, relation, false, COLUMNS_ALL);
		derive_json_literal(out, "}");
	}
	derive_text_put_unchanged(out, change);
}

void
derive_text_put_operation(StringInfo out, TextOperation operation)
{
	switch (operation)
	{
		case TEXT_INSERT:
			derive_json_literal(out, "\"insert\"");
			break;
		case TEXT_UPDATE:
			derive_json_literal(out, "\"update\"");
			break;
		case TEXT_DELETE:
			derive_json_literal(out, "\"delete\"");
			break;
	}
}

void
derive_text_put_content(StringInfo out, const TextMessage *message)
{
	if (derive_json_is_text(message->content, message->content_len))
	{
		derive_json_literal(out, ",\"content\":");
		derive_json_string(out, message->content, message->content_len);
		return;
	}
	derive_json_literal(out, ",\"content_base64\":");
	derive_json_base64(out, message->content, message->content_len);
}

void
derive_text_put_names(TextStream *stream, StringInfo out, const TextRelation *relation)
{
	derive_json_literal(out, ",\"schema\":");
	derive_json_cstring(out, relation->schema);
	derive_json_literal(out, ",\"table\":");
	derive_json_cstring(out, relation->table);
	if (relation->root_table == NULL)
		return;
	derive_json_literal(out, ",\"root\":{\"schema\":");
	derive_json_cstring(out, relation->root_schema);
	derive_json_literal(out, ",\"table\":");
	derive_json_cstring(out, relation->root_table);
	derive_json_literal(out, "}");
}

void
derive_text_put_label(TextStream *stream, StringInfo out, StringInfo tail,
					  const TextColumn *column)
{
	derive_json_cstring(out, column->name);
	derive_json_literal(out, ":");
}
