/*-------------------------------------------------------------------------
 *
 * text_relation.c
 *	  What the text formats know of a relation, and the rows of its changes.
 *
 * An entry is made under the historic snapshot, so names, types and keys are those of
 * the time of the change.  All JSON that stays the same from row to row is prepared in
 * it.  Indexes are opened without a lock, as the reorder buffer does: the historic
 * snapshot still sees those that have been dropped since.
 *
 * Key.  The columns that identify a row for its consumer: those of the replica identity's
 * index; with REPLICA IDENTITY FULL the primary key, if there is one.  With NOTHING the log
 * does not say which row was changed, so there is no key.
 *
 * Unchanged values.  An update does not log an out-of-line value that it left alone.  The
 * old row has it if it is logged as a whole; otherwise it is missing, and each format
 * has its way to say so.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "base/compat.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "change/json.h"
#include "change/pattern.h"
#include "change/text_stream.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/relcache.h"

/* Schemas that are sent only if a pattern asks for them. */
#define OWN_SCHEMA "derive"
#define OWN_STATE_SCHEMA "derive_state"

/* A relation's name, and those of the partitioned tables above it. */
typedef struct RelationNames
{
	int count;
	const char *(*names)[PATTERN_PARTS]; /* [count]: schema, table, room for a column */
} RelationNames;

/* ---------- choosing ---------- */

/* Returns the names by which a relation is chosen; its own is the first, the root the last. */
static RelationNames
get_names(Relation rel)
{
	List *relids = list_make1_oid(RelationGetRelid(rel));
	RelationNames result;
	ListCell *lc;

	if (rel->rd_rel->relispartition)
		relids = list_concat(relids, get_partition_ancestors(RelationGetRelid(rel)));
	result.count = 0;
	result.names = palloc0(sizeof(*result.names) * list_length(relids));
	foreach (lc, relids)
	{
		const char *schema = get_namespace_name(get_rel_namespace(lfirst_oid(lc)));
		const char *table = get_rel_name(lfirst_oid(lc));

		if (schema == NULL || table == NULL)
			continue;
		result.names[result.count][0] = schema;
		result.names[result.count++][1] = table;
	}
	if (result.count == 0)
		elog(ERROR, "relation %u has no name", RelationGetRelid(rel));
	return result;
}

/* Returns true if some of the names is included by a pattern. */
static bool
included(const List *patterns, const RelationNames *names, int nparts)
{
	for (int i = 0; i < names->count; i++)
		if (derive_pattern_includes(patterns, names->names[i], nparts))
			return true;
	return false;
}

/* Returns true if some of the names is excluded by a pattern. */
static bool
excluded(const List *patterns, const RelationNames *names, int nparts)
{
	for (int i = 0; i < names->count; i++)
		if (derive_pattern_excludes(patterns, names->names[i], nparts))
			return true;
	return false;
}

/* Decides whether a relation's changes are sent. */
static bool
choose_relation(const TextOptions *options, const RelationNames *names)
{
	const char *schema = names->names[0][0];

	if (excluded(options->tables, names, 2))
		return false;
	if (derive_pattern_is_selective(options->tables))
		return included(options->tables, names, 2);
	return strcmp(schema, OWN_SCHEMA) != 0 && strcmp(schema, OWN_STATE_SCHEMA) != 0;
}

/*
 * Decides whether a column is sent.  Patterns that include columns of this relation say
 * which; a relation that none of them speaks of is sent with all.
 */
static bool
choose_column(const TextOptions *options, RelationNames *names, const char *column)
{
	for (int i = 0; i < names->count; i++)
		names->names[i][2] = column;
	if (excluded(options->columns, names, 3))
		return false;
	return !included(options->columns, names, 2) || included(options->columns, names, 3);
}

/* ---------- making an entry ---------- */

/* Marks the columns of an index: as the key's, or as the primary key's. */
static void
mark_columns(TextRelation *entry, Oid index_oid, bool as_key, bool as_primary)
{
	Relation index = OidIsValid(index_oid) ? RelationIdGetRelation(index_oid) : NULL;

	if (!RelationIsValid(index))
		return;
	for (int i = 0; i < index->rd_index->indnkeyatts; i++)
		for (int j = 0; j < entry->ncolumns; j++)
		{
			TextColumn *column = &entry->columns[j];

			if (column->index != index->rd_index->indkey.values[i] - 1)
				continue;
			column->key |= as_key;
			column->primary |= as_primary;
			entry->has_key |= as_key;
		}
	RelationClose(index);
}

/* Finds the columns that identify a row. */
static void
find_key(TextRelation *entry, Relation rel)
{
	/* sets rd_pkindex and rd_replidindex */
	list_free(RelationGetIndexList(rel));
	entry->identity_full = rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL;
	mark_columns(entry, rel->rd_pkindex, entry->identity_full, true);
	if (!entry->identity_full)
		mark_columns(entry, rel->rd_replidindex, true, false);
}

/* Fills one column. */
static void
fill_column(TextStream *stream, TextRelation *entry, Form_pg_attribute att)
{
	TextColumn *column = &entry->columns[entry->ncolumns++];
	StringInfoData label;
	StringInfoData tail;
	StringInfoData placeholder;

	memset(column, 0, sizeof(TextColumn));
	column->index = att->attnum - 1;
	column->name = pstrdup(NameStr(att->attname));
	column->type = att->atttypid;
	column->typmod = att->atttypmod;
	derive_value_prepare(&column->writer, att->atttypid, att->atttypmod,
						 stream->format->values, entry->context);
	initStringInfo(&label);
	initStringInfo(&tail);
	initStringInfo(&placeholder);
	appendStringInfoChar(&label, ',');
	stream->format->label(stream, &label, &tail, column);
	if (stream->format->placeholder)
		stream->format->placeholder(&placeholder, column);
	column->label = label.data;
	column->label_len = label.len;
	column->tail = tail.data;
	column->tail_len = tail.len;
	column->placeholder = placeholder.data;
	column->placeholder_len = placeholder.len;
}

/* Fills what an entry of a chosen relation has, in its own context. */
static void
fill_chosen(TextStream *stream, TextRelation *entry, Relation rel, RelationNames *names)
{
	TupleDesc desc = RelationGetDescr(rel);
	StringInfoData heading;

	entry->natts = desc->natts;
	entry->schema = pstrdup(names->names[0][0]);
	entry->table = pstrdup(names->names[0][1]);
	if (names->count > 1)
	{
		entry->root_schema = pstrdup(names->names[names->count - 1][0]);
		entry->root_table = pstrdup(names->names[names->count - 1][1]);
	}
	entry->columns = palloc(sizeof(TextColumn) * Max(desc->natts, 1));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->attgenerated != ATTRIBUTE_GENERATED_VIRTUAL &&
			choose_column(&stream->options, names, NameStr(att->attname)))
			fill_column(stream, entry, att);
	}
	find_key(entry, rel);
	entry->old_values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	entry->new_values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	entry->old_isnull = palloc(Max(desc->natts, 1));
	entry->new_isnull = palloc(Max(desc->natts, 1));
	entry->new_missing = palloc0(Max(desc->natts, 1));
	initStringInfo(&heading);
	stream->format->heading(stream, &heading, entry);
	entry->heading = heading.data;
	entry->heading_len = heading.len;
}

void
derive_text_relation_fill(TextStream *stream, TextRelation *entry, Relation rel,
						  MemoryContext parent)
{
	Oid relid = entry->relid;
	RelationNames names = get_names(rel);
	bool valid = entry->valid; /* an invalidation can have come in between */
	MemoryContext old;

	if (entry->context)
		MemoryContextDelete(entry->context);
	memset(entry, 0, sizeof(TextRelation));
	entry->relid = relid;
	entry->valid = valid;
	if (!choose_relation(&stream->options, &names))
		return;
	entry->context = AllocSetContextCreate(parent, "pg_derive text relation",
										   ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(entry->context);
	fill_chosen(stream, entry, rel, &names);
	MemoryContextSwitchTo(old);
	entry->chosen = true;
}

/* ---------- rows ---------- */

/* Finds the out-of-line values that the new row lacks; takes them from the old one if it can. */
static void
complete_new_row(TextRelation *relation, bool has_old)
{
	for (int i = 0; i < relation->ncolumns; i++)
	{
		TextColumn *column = &relation->columns[i];
		int at = column->index;

		relation->new_missing[at] = false;
		if (relation->new_isnull[at] || column->writer.length != -1 ||
			!VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(relation->new_values[at])))
			continue;
		/* an old row that is not logged as a whole has NULL for the rest */
		if (has_old && !relation->old_isnull[at])
			relation->new_values[at] = relation->old_values[at];
		else
			relation->new_missing[at] = true;
	}
}

void
derive_text_relation_load(TextRelation *relation, TupleDesc desc, HeapTuple old_tuple,
						  HeapTuple new_tuple)
{
	if (old_tuple)
		heap_deform_tuple(old_tuple, desc, relation->old_values, relation->old_isnull);
	if (new_tuple)
	{
		heap_deform_tuple(new_tuple, desc, relation->new_values, relation->new_isnull);
		complete_new_row(relation, old_tuple != NULL);
	}
}

bool
derive_text_key_changed(const TextRelation *relation, TupleDesc desc)
{
	for (int i = 0; i < relation->ncolumns; i++)
	{
		int at = relation->columns[i].index;
		Form_pg_attribute att = TupleDescAttr(desc, at);

		if (!relation->columns[i].key || relation->new_missing[at])
			continue;
		if (relation->old_isnull[at] != relation->new_isnull[at])
			return true;
		if (!relation->old_isnull[at] &&
			!datum_image_eq(relation->old_values[at], relation->new_values[at],
							att->attbyval, att->attlen))
			return true;
	}
	return false;
}
