/*-------------------------------------------------------------------------
 *
 * new_view_indexes.c
 *	  The indexes that a view and its stages get when they are made.
 *
 * A view's rows are found by its key, or by a hash of the row; the rows of its parts by
 * the values that its parts have in common.  A stage gets, besides, the indexes by which
 * its readers look its rows up, since nobody else knows of it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "api/new_view.h"
#include "base/owner.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

/*
 * Returns a column to put before the hash in the index of a view without a key, or 0:
 * the first number or date of at least four bytes, of a built-in type passed by value.  Rows that
 * are near to each other in such a column change together more often than not, as ids and times do,
 * and then the index is read and written in one place; a hash alone is everywhere.
 */
static AttrNumber
leading_column(NewView *view)
{
	Relation rel = table_open(view->row.view, NoLock);
	TupleDesc desc = RelationGetDescr(rel);
	AttrNumber found = InvalidAttrNumber;

	for (int i = 0; i < desc->natts && found == InvalidAttrNumber; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char category;
		bool preferred;

		get_type_category_preferred(att->atttypid, &category, &preferred);
		if (att->attbyval && att->attlen >= 4 &&
			getBaseType(att->atttypid) < FirstGenbkiObjectId &&
			(category == TYPCATEGORY_NUMERIC || category == TYPCATEGORY_DATETIME))
			found = att->attnum;
	}
	table_close(rel, NoLock);
	return found;
}

/* Returns the columns that the key's index has, or those without a key. */
static char *
key_index_columns(NewView *view)
{
	StringInfoData columns;
	ListCell *lc;

	initStringInfo(&columns);
	if (view->row.key == NIL)
	{
		AttrNumber leading = leading_column(view);

		if (leading != InvalidAttrNumber)
			appendStringInfo(
				&columns, "%s, ",
				quote_identifier(get_attname(view->row.view, leading, false)));
		appendStringInfo(&columns, "derive_state.row_hash(%s.*)",
						 quote_identifier(view->name));
	}
	foreach (lc, view->row.key)
		appendStringInfo(
			&columns, "%s%s", columns.len > 0 ? ", " : "",
			quote_identifier(get_attname(view->row.view, lfirst_int(lc), false)));
	return columns.data;
}

/* Gives the view's table the index by which its rows are found, as the caller. */
static void
create_key_index(NewView *view)
{
	bool has_key = view->row.key != NIL;
	Oid schema = get_namespace_oid(view->schema, false);
	char *name;

	if (view->plan->single_row && !has_key)
		return;
	name = ChooseRelationName(view->name, NULL, has_key ? "key" : "row_hash", schema,
							  false);
	derive_new_view_run(psprintf(
		"CREATE %s INDEX %s ON %s (%s)%s", has_key ? "UNIQUE" : "",
		quote_identifier(name), quote_qualified_identifier(view->schema, view->name),
		key_index_columns(view), has_key ? " NULLS NOT DISTINCT" : ""));
	derive_new_view_depend(view, RelationRelationId, get_relname_relid(name, schema));
}

/* Says whether the key's index begins with the given columns, in any order. */
static bool
key_begins_with(NewView *view, List *columns)
{
	ListCell *lc;

	foreach (lc, columns)
	{
		bool found = false;

		for (int i = 0; i < Min(list_length(columns), list_length(view->row.key)); i++)
			found |= list_nth_int(view->row.key, i) == lfirst_int(lc);
		if (!found)
			return false;
	}
	return true;
}

/*
 * Gives the view's table an index by which the rows of its parts, or those with a key of its
 * source, are found, if need be; as the caller.
 */
static void
create_lookup_index(NewView *view, List *lookup, const char *label)
{
	Oid schema = get_namespace_oid(view->schema, false);
	StringInfoData columns;
	char *name;
	ListCell *lc;

	if (lookup == NIL || key_begins_with(view, lookup))
		return;
	initStringInfo(&columns);
	foreach (lc, lookup)
		appendStringInfo(
			&columns, "%s%s", columns.len > 0 ? ", " : "",
			quote_identifier(get_attname(view->row.view, lfirst_int(lc), false)));
	name = ChooseRelationName(view->name, NULL, label, schema, false);
	derive_new_view_run(psprintf("CREATE INDEX %s ON %s (%s)", quote_identifier(name),
								 quote_qualified_identifier(view->schema, view->name),
								 columns.data));
	derive_new_view_depend(view, RelationRelationId, get_relname_relid(name, schema));
}

/* Gives the view's table its indexes, see new_view.h. */
void
derive_new_view_create_indexes(NewView *view)
{
	create_key_index(view);
	create_lookup_index(view, view->plan->stage->lookup, "part");
	if (!equal(view->row.source_key, view->plan->stage->lookup))
		create_lookup_index(view, view->row.source_key, "source");
}

/*
 * Creates the indexes on stages that a plan looks rows up by: nobody else knows of these
 * tables.  Those on the user's tables are for derive.advise to name.
 */
void
derive_new_view_index_stages(ViewPlan *plan)
{
	const char *start = psprintf("CREATE INDEX ON %s.", DERIVE_STATE_SCHEMA);
	OwnerScope scope;
	ListCell *lc;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	foreach (lc, derive_plan_missing_indexes(plan))
	{
		if (strncmp(lfirst(lc), start, strlen(start)) != 0)
			continue;
		derive_new_view_run(lfirst(lc));
		CommandCounterIncrement();
	}
	derive_owner_leave(&scope);
}
