/*-------------------------------------------------------------------------
 *
 * create_view.c
 *	  derive.create_view: from a query to the relations of a derived view.
 *
 * In the caller's transaction, and with nothing of it visible before it commits:
 *  1. analyse the query as the caller, in the caller's search_path, and let the
 *     planner's gate refuse what cannot be maintained;
 *  2. create the view's table as the caller: exactly the query's columns;
 *  3. create, in schema derive_state, an ordinary view that holds the query (so that
 *     PostgreSQL guards sources and columns as it does for any view) and, for an
 *     aggregate, the table of its state.  Both depend internally on the view's table:
 *     dropping one drops all, and a cascade from a source takes the table along;
 *  4. give the table its key's index and the trigger that refuses writes;
 *  5. set the replica identity of sources whose old rows are needed in full;
 *  6. add the catalog row.  At commit the applier learns of it and builds the view.
 *
 * What lies in derive_state is created with the rights of the bootstrap superuser,
 * because nobody else may create there; no expression of the user is evaluated.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "api/view_functions.h"
#include "base/compat.h"
#include "base/owner.h"
#include "base/queries.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "commands/view.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "plan/plan.h"
#include "shared/commit_hook.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(derive_create_view);

/* What create_view has found out and made so far. */
typedef struct NewView
{
	char *schema;
	char *name;
	Query *query;
	ViewPlan *plan;
	CatalogNewView row;
} NewView;

/* ---------- analysis ---------- */

/* Error context: positions refer to the query's text, not to the calling statement. */
static void
query_error_context(void *arg)
{
	int position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery((const char *) arg);
	}
	else
		errcontext("query of the derived view");
}

/* Parses and analyses the query's text as the current user. */
static Query *
analyse(const char *text)
{
	List *statements = raw_parser(text, RAW_PARSE_DEFAULT);

	if (list_length(statements) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("a derived view's query must be a single SELECT statement")));
	return parse_analyze_fixedparams(linitial(statements), text, NULL, 0, NULL);
}

/*
 * Analyses and plans a query as the current user, who must be allowed to run it;
 * errors point into its text.
 */
ViewPlan *
derive_api_plan_query(char *text, Query **query)
{
	ErrorContextCallback callback;
	ViewPlan *plan;
	ListCell *lc;

	callback.callback = query_error_context;
	callback.arg = text;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	*query = analyse(text);
	plan = derive_plan_make(copyObject(*query), text);
	error_context_stack = callback.previous;
	foreach (lc, derive_queries_within(*query))
		derive_check_query_permissions(lfirst_node(Query, lc));
	return plan;
}

/* Splits the view's name and finds its schema, as CREATE TABLE does. */
static void
resolve_name(NewView *view, text *name)
{
	RangeVar *rv = makeRangeVarFromNameList(textToQualifiedNameList(name));
	Oid namespace = RangeVarGetCreationNamespace(rv);

	if (isAnyTempNamespace(namespace))
		ereport(
			ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("a derived view cannot be temporary"),
			 errdetail(
				 "It is maintained by a background worker, which cannot see temporary objects.")));
	view->schema = get_namespace_name(namespace);
	view->name = rv->relname;
}

/* Turns the key argument into the numbers of the query's columns. */
static List *
resolve_key(NewView *view, ArrayType *names)
{
	Datum *values;
	bool *nulls;
	int n;
	List *key = NIL;

	deconstruct_array(names, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char *wanted = nulls[i] ? "" : TextDatumGetCString(values[i]);
		int attno = 0;
		ListCell *lc;

		foreach (lc, view->query->targetList)
		{
			TargetEntry *te = lfirst(lc);

			if (!te->resjunk && strcmp(te->resname, wanted) == 0)
				attno = te->resno;
		}
		if (attno == 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("key column \"%s\" is not a column of the query", wanted)));
		key = list_append_unique_int(key, attno);
	}
	return key;
}

/* ---------- relations ---------- */

/* Runs one utility statement as the current user; the caller is connected. */
static void
run(const char *sql)
{
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", sql);
}

/* Appends a column's definition: name, type, collation. */
static void
append_column(StringInfo sql, const char *name, Oid type, int32 typmod, Oid collation)
{
	appendStringInfo(
		sql, "%s %s", quote_identifier(name),
		format_type_extended(type, typmod,
							 FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	if (OidIsValid(collation) && collation != get_typcollation(type))
		appendStringInfo(sql, " COLLATE %s", generate_collation_name(collation));
}

/* Returns the oid of a relation that has just been created. */
static Oid
created_relation(const char *schema, const char *name)
{
	return get_relname_relid(name, get_namespace_oid(schema, false));
}

/* Creates the view's table, as the caller. */
static void
create_target(NewView *view)
{
	StringInfoData sql;
	const char *separator = "";
	ListCell *lc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (",
					 quote_qualified_identifier(view->schema, view->name));
	foreach (lc, view->query->targetList)
	{
		TargetEntry *te = lfirst(lc);

		if (te->resjunk)
			continue;
		appendStringInfoString(&sql, separator);
		append_column(&sql, te->resname, exprType((Node *) te->expr),
					  exprTypmod((Node *) te->expr), exprCollation((Node *) te->expr));
		separator = ", ";
	}
	appendStringInfoChar(&sql, ')');
	run(sql.data);
	view->row.view = created_relation(view->schema, view->name);
}

/* Returns a name in derive_state that tells which view it belongs to. */
static char *
state_name(NewView *view, const char *suffix)
{
	char tail[NAMEDATALEN];

	snprintf(tail, sizeof(tail), INT64_FORMAT "_%s", view->row.id, suffix);
	return makeObjectName(view->name, tail, NULL);
}

/* Makes an object depend internally on the view's table. */
static void
depend_on_target(NewView *view, Oid class_id, Oid object_id)
{
	ObjectAddress object, target;

	ObjectAddressSet(object, class_id, object_id);
	ObjectAddressSet(target, RelationRelationId, view->row.view);
	recordDependencyOn(&object, &target, DEPENDENCY_INTERNAL);
}

/* Makes a table read-only for everybody. */
static void
create_trigger(NewView *view, const char *qualified, Oid relid)
{
	run(psprintf("CREATE TRIGGER pg_derive_read_only"
				 " BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s"
				 " FOR EACH STATEMENT EXECUTE FUNCTION derive_state.reject_write()",
				 qualified));
	run(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER pg_derive_read_only", qualified));
	depend_on_target(view, TriggerRelationId,
					 get_trigger_oid(relid, "pg_derive_read_only", false));
}

/*
 * Creates the ordinary view that holds the query.  It belongs to the bootstrap superuser,
 * so that the caller cannot put another query into it.
 */
static void
create_definition(NewView *view)
{
	CreateStmt *create = makeNode(CreateStmt);
	ObjectAddress address;
	ListCell *lc;

	create->relation = makeRangeVar(DERIVE_STATE_SCHEMA, state_name(view, "query"), -1);
	create->oncommit = ONCOMMIT_NOOP;
	foreach (lc, view->query->targetList)
	{
		TargetEntry *te = lfirst(lc);

		if (!te->resjunk)
			create->tableElts = lappend(
				create->tableElts, makeColumnDef(te->resname, exprType((Node *) te->expr),
												 exprTypmod((Node *) te->expr),
												 exprCollation((Node *) te->expr)));
	}
	address = DefineRelation(create, RELKIND_VIEW, BOOTSTRAP_SUPERUSERID, NULL, NULL);
	CommandCounterIncrement();
	StoreViewQuery(address.objectId, copyObject(view->query), false);
	CommandCounterIncrement();
	view->row.definition = address.objectId;
	depend_on_target(view, RelationRelationId, address.objectId);
}

/*
 * Creates the table that holds an aggregate's state.  It belongs to the caller, because
 * ANALYZE runs functions of its columns' types with its owner's rights.
 */
static void
create_state(NewView *view, Oid owner)
{
	Stage *stage = view->plan->stage;
	char *name = state_name(view, "state");
	char *qualified = quote_qualified_identifier(DERIVE_STATE_SCHEMA, name);
	StringInfoData sql;
	StringInfoData keys;

	initStringInfo(&sql);
	initStringInfo(&keys);
	appendStringInfo(&sql, "CREATE TABLE %s (", qualified);
	for (int i = 0; i < stage->nkeys; i++)
	{
		FoldKey *key = &stage->keys[i];

		append_column(&sql, key->name, key->type, key->typmod, key->collation);
		appendStringInfoString(&sql, ", ");
		appendStringInfo(&keys, "%s%s", i > 0 ? ", " : "", quote_identifier(key->name));
	}
	appendStringInfoString(&sql, "n pg_catalog.int8 NOT NULL");
	for (int i = 0; i < stage->ncolumns; i++)
	{
		FoldColumn *column = &stage->columns[i];

		appendStringInfoString(&sql, ", ");
		append_column(&sql, column->name, column->type, column->typmod,
					  column->collation);
	}
	appendStringInfoString(&sql, ")");
	run(sql.data);
	if (stage->nkeys > 0)
		run(psprintf("CREATE UNIQUE INDEX ON %s (%s) NULLS NOT DISTINCT", qualified,
					 keys.data));
	view->row.state_table = created_relation(DERIVE_STATE_SCHEMA, name);
	ATExecChangeOwner(view->row.state_table, owner, false, AccessExclusiveLock);
	CommandCounterIncrement();
	create_trigger(view, qualified, view->row.state_table);
	depend_on_target(view, RelationRelationId, view->row.state_table);
}

/* Returns the columns that the key's index has, or the expression without a key. */
static char *
key_index_columns(NewView *view)
{
	StringInfoData columns;
	ListCell *lc;

	if (view->row.key == NIL)
		return psprintf("derive_state.row_hash(%s.*)", quote_identifier(view->name));
	initStringInfo(&columns);
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
	run(psprintf("CREATE %s INDEX %s ON %s (%s)%s", has_key ? "UNIQUE" : "",
				 quote_identifier(name),
				 quote_qualified_identifier(view->schema, view->name),
				 key_index_columns(view), has_key ? " NULLS NOT DISTINCT" : ""));
	depend_on_target(view, RelationRelationId, get_relname_relid(name, schema));
}

/* ---------- replica identity ---------- */

/*
 * Says whether the old rows that a table logs contain the given columns: all of
 * them do, or they are part of its identity's index.
 */
static bool
identity_covers(Relation rel, Bitmapset *columns)
{
	Bitmapset *identity;
	bool covered;

	if (rel->rd_rel->relreplident == REPLICA_IDENTITY_FULL)
		return true;
	identity = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	covered = true;
	for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
		covered &= bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, identity);
	bms_free(identity);
	return covered;
}

/* Sets a table's replica identity to FULL if the caller may. */
static void
set_identity(Oid relid)
{
	char *qualified = quote_qualified_identifier(
		get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));

	if (!pg_class_ownercheck(relid, GetUserId()))
		ereport(
			ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" does not log old rows in full", get_rel_name(relid)),
			 errdetail("Deleted and updated rows must be known to maintain the view."),
			 errhint("Let its owner run: ALTER TABLE %s REPLICA IDENTITY FULL;",
					 qualified)));
	run(psprintf("ALTER TABLE %s REPLICA IDENTITY FULL", qualified));
	ereport(
		NOTICE,
		(errmsg("replica identity of table \"%s\" is set to FULL", get_rel_name(relid)),
		 errdetail("Deleted and updated rows must be known to maintain the view.")));
}

/* Makes sure that a leaf table logs old rows with the columns of its root. */
static void
check_leaf_identity(Oid root, Oid leaf, Bitmapset *columns)
{
	Relation rel = table_open(leaf, AccessShareLock);
	Bitmapset *own = NULL;
	bool covered;

	for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0;)
		own = bms_add_member(own, get_attnum(leaf, get_attname(root, attnum, false)));
	covered = identity_covers(rel, own);
	table_close(rel, AccessShareLock);
	if (!covered)
		set_identity(leaf);
}

/* Makes sure that all sources log old rows as far as the view needs them. */
static void
check_identities(NewView *view)
{
	ListCell *lc, *lp;

	foreach (lc, view->plan->sources)
	{
		PlanSource *source = lfirst(lc);

		if (derive_catalog_has_view(source->relid))
			continue;
		if (get_rel_relkind(source->relid) != RELKIND_PARTITIONED_TABLE)
		{
			check_leaf_identity(source->relid, source->relid, source->columns);
			continue;
		}
		foreach (lp, find_all_inheritors(source->relid, AccessShareLock, NULL))
			if (get_rel_relkind(lfirst_oid(lp)) == RELKIND_RELATION)
				check_leaf_identity(source->relid, lfirst_oid(lp), source->columns);
	}
}

/* ---------- the function ---------- */

/* Returns how derive.views names a rule. */
static const char *
rule_name(StageRule rule)
{
	switch (rule)
	{
		case RULE_ALGEBRA:
			return "algebra";
		case RULE_AFFECTED_KEYS:
			return "affected keys";
		case RULE_RECOMPUTE:
			return "recompute";
	}
	return "";
}

/*
 * Creates everything that belongs to the view but its table.  The caller's search_path
 * and objects have no part in it.
 */
static void
create_hidden_parts(NewView *view)
{
	Oid caller = GetUserId();
	OwnerScope scope;

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	create_definition(view);
	if (view->plan->stage->kind == STAGE_FOLD)
		create_state(view, caller);
	create_trigger(view, quote_qualified_identifier(view->schema, view->name),
				   view->row.view);
	derive_catalog_insert_view(&view->row);
	derive_owner_leave(&scope);
}

/*
 * derive.create_view(name, query, key, with_data) → regclass
 */
Datum
derive_create_view(PG_FUNCTION_ARGS)
{
	NewView view = {0};

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("a derived view needs a name and a query")));
	derive_api_check_server();
	resolve_name(&view, PG_GETARG_TEXT_PP(0));
	view.plan = derive_api_plan_query(text_to_cstring(PG_GETARG_TEXT_PP(1)), &view.query);
	view.row.key = PG_ARGISNULL(2) ? view.plan->key
								   : resolve_key(&view, PG_GETARG_ARRAYTYPE_P(2));
	view.row.rule = rule_name(view.plan->rule);
	view.row.paused = PG_ARGISNULL(3) ? false : !PG_GETARG_BOOL(3);
	view.row.id = derive_catalog_next_id();

	SPI_connect();
	create_target(&view);
	check_identities(&view);
	create_key_index(&view);
	create_hidden_parts(&view);
	SPI_finish();
	if (view.plan->rule == RULE_RECOMPUTE)
		ereport(NOTICE,
				(errmsg("derived view \"%s\" can only be maintained by recomputing it",
						view.name),
				 errdetail("%s", view.plan->stage->why)));
	derive_commit_hook_catalog_changed(false);
	PG_RETURN_OID(view.row.view);
}
