/*-------------------------------------------------------------------------
 *
 * create_view.c
 *	  derive.create_view: from a query to the relations of a derived view.
 *
 * In the caller's transaction, and with nothing of it visible before it commits:
 *  1. analyse the query as the caller, in the caller's search_path, and let the
 *     planner's gate refuse what cannot be maintained;
 *  2. create the view's table as the caller: exactly the query's columns;
 *  3. cut the query into blocks.  Each but the last becomes a stage: a derived view
 *     like any other, but in schema derive_state and part of this one.  A stage that
 *     turns out not to be used is dropped again;
 *  4. create, in schema derive_state, an ordinary view that holds the query (so that
 *     PostgreSQL guards sources and columns as it does for any view), another one that
 *     holds the last block if that is not the query itself and, for an aggregate, the
 *     table of its state.  All depend internally on the view's table: dropping one
 *     drops all, and a cascade from a source takes the table along;
 *  5. give the table its indexes (of its key, of its parts; a stage also those that its
 *     readers look rows up by) and the trigger that refuses writes;
 *  6. set the replica identity of sources whose old rows are needed in full (identity.c);
 *  7. add the catalog row.  At commit the applier learns of it and builds the view.
 *
 * What lies in derive_state is created with the rights of the bootstrap superuser,
 * because nobody else may create there, and given to the caller; no expression of the
 * user is evaluated: indexes on expressions are made on empty tables of the caller's, as
 * whom core itself looks at them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "api/guard.h"
#include "api/new_view.h"
#include "api/view_functions.h"
#include "base/compat.h"
#include "base/owner.h"
#include "catalog/hidden_parts.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
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
#include "plan/cut.h"
#include "plan/gate.h"
#include "plan/operators.h"
#include "plan/plan.h"
#include "plan/region.h"
#include "plan/sources.h"
#include "shared/commit_hook.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(derive_create_view);

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

/* Analyses a query as the current user, who must be allowed to run it. */
static Query *
analyse_checked(char *text)
{
	ErrorContextCallback callback;
	Query *query;
	ListCell *lc;

	callback.callback = query_error_context;
	callback.arg = text;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	query = analyse(text);
	derive_guard_hold_children(query);
	derive_gate_check_query(query, text);
	derive_gate_check_expressions(query, text);
	error_context_stack = callback.previous;
	foreach (lc, derive_plan_queries(query))
		derive_check_query_permissions(lfirst(lc));
	return query;
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
void
derive_new_view_run(const char *sql)
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

/* Creates the table of a view or stage, as the current user. */
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
	derive_new_view_run(sql.data);
	view->row.view = created_relation(view->schema, view->name);
}

/* Returns a name in derive_state that tells which view it belongs to. */
static char *
state_name(NewView *view, const char *suffix)
{
	char tail[NAMEDATALEN];

	snprintf(tail, sizeof(tail), INT64_FORMAT "_%s", view->number, suffix);
	return makeObjectName(view->root ? view->root->name : view->name, tail, NULL);
}

/* Makes an object depend internally on the table of its view or stage, see new_view.h. */
void
derive_new_view_depend(NewView *view, Oid class_id, Oid object_id)
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
	derive_new_view_run(
		psprintf("CREATE TRIGGER " DERIVE_READ_ONLY_TRIGGER
				 " BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s"
				 " FOR EACH STATEMENT EXECUTE FUNCTION derive_state.reject_write()",
				 qualified));
	derive_new_view_run(psprintf(
		"ALTER TABLE %s ENABLE ALWAYS TRIGGER " DERIVE_READ_ONLY_TRIGGER, qualified));
	derive_new_view_depend(view, TriggerRelationId,
						   get_trigger_oid(relid, DERIVE_READ_ONLY_TRIGGER, false));
}

/*
 * Creates an ordinary view that holds a query, and returns it.  It belongs to the
 * bootstrap superuser, so that the caller cannot put another query into it.  A dump has its
 * text, which must mean the same.
 */
static Oid
create_definition(NewView *view, Query *query, const char *suffix)
{
	CreateStmt *create = makeNode(CreateStmt);
	ObjectAddress address;
	ListCell *lc;

	query = derive_operators_say(query);
	derive_query_name_no_positions(query);
	create->relation = makeRangeVar(DERIVE_STATE_SCHEMA, state_name(view, suffix), -1);
	create->oncommit = ONCOMMIT_NOOP;
	foreach (lc, query->targetList)
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
	StoreViewQuery(address.objectId, query, false);
	CommandCounterIncrement();
	derive_new_view_depend(view, RelationRelationId, address.objectId);
	return address.objectId;
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
	derive_new_view_run(sql.data);
	if (stage->nkeys > 0)
		derive_new_view_run(psprintf("CREATE UNIQUE INDEX ON %s (%s) NULLS NOT DISTINCT",
									 qualified, keys.data));
	view->row.state_table = created_relation(DERIVE_STATE_SCHEMA, name);
	ATExecChangeOwner(view->row.state_table, owner, false, AccessExclusiveLock);
	CommandCounterIncrement();
	create_trigger(view, qualified, view->row.state_table);
	derive_new_view_depend(view, RelationRelationId, view->row.state_table);
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
		case RULE_RECURSION:
			return "recursion";
		case RULE_RECOMPUTE:
			return "recompute";
	}
	return "";
}

/* Creates the definition of the block, if it is not the query, and the state, see new_view.h. */
void
derive_new_view_create_block(NewView *view, Oid owner)
{
	view->row.definition = view->block == view->query
							   ? view->row.query
							   : create_definition(view, view->block, "block");
	if (view->plan->stage->kind == STAGE_FOLD)
		create_state(view, owner);
	view->row.rule = rule_name(view->plan->rule);
}

/*
 * Creates everything that belongs to the view but its table.  The caller's search_path
 * and objects have no part in it.
 */
static void
create_hidden_parts(NewView *view, Oid owner)
{
	view->row.query = create_definition(view, view->query, "query");
	derive_new_view_create_block(view, owner);
	create_trigger(view, quote_qualified_identifier(view->schema, view->name),
				   view->row.view);
	derive_catalog_insert_view(&view->row);
}

/*
 * Plans a block's content once, as the current user, so that what core cannot plan is
 * refused now.
 */
static void
check_plannable(ViewPlan *plan)
{
	OwnerScope scope;
	SPIPlanPtr prepared;

	derive_owner_enter(&scope, GetUserId());
	prepared = SPI_prepare(derive_plan_full_sql(plan), 0, NULL);
	if (prepared == NULL || SPI_plan_get_cached_plan(prepared) == NULL)
		elog(ERROR, "could not plan a block of the query");
	derive_owner_leave(&scope);
}

/*
 * Creates a stage of a view, see cut.h; arg: the view.  Returns its table, which is
 * locked because it is new.
 */
static Oid
create_stage(Query *block, void *arg)
{
	NewView *root = (NewView *) arg;
	NewView *stage = palloc0(sizeof(NewView));
	Oid caller = GetUserId();
	OwnerScope scope;

	stage->root = root;
	stage->schema = DERIVE_STATE_SCHEMA;
	stage->query = stage->block = block;
	stage->plan = derive_plan_make(copyObject(block), NULL);
	stage->row.source_key = derive_new_view_follow_keys(stage->plan);
	check_plannable(stage->plan);
	stage->row.key = stage->plan->key;
	stage->row.paused = root->row.paused;
	stage->row.part_of = root->row.view;
	stage->row.id = derive_catalog_next_id();
	stage->number = root->explain ? list_length(root->stages) + 1 : stage->row.id;
	stage->name = state_name(stage, "stage");
	derive_new_view_check_identities(stage);

	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	create_target(stage);
	stage->plan->view = stage->row.view;
	derive_new_view_create_indexes(stage);
	ATExecChangeOwner(stage->row.view, caller, false, AccessExclusiveLock);
	CommandCounterIncrement();
	create_hidden_parts(stage, caller);
	derive_owner_leave(&scope);

	if (OidIsValid(root->row.view))
	{
		ObjectAddress object, target;

		ObjectAddressSet(object, RelationRelationId, stage->row.view);
		ObjectAddressSet(target, RelationRelationId, root->row.view);
		recordDependencyOn(&object, &target, DEPENDENCY_INTERNAL);
		CommandCounterIncrement();
	}
	root->stages = lappend(root->stages, stage);
	return stage->row.view;
}

/* Tells whether queries read a relation; a walker. */
static bool
reads_walker(Node *node, Oid *relid)
{
	ListCell *lc;

	if (node == NULL)
		return false;
	if (!IsA(node, Query))
		return expression_tree_walker(node, reads_walker, relid);
	foreach (lc, ((Query *) node)->rtable)
		if (lfirst_node(RangeTblEntry, lc)->rtekind == RTE_RELATION &&
			lfirst_node(RangeTblEntry, lc)->relid == *relid)
			return true;
	return query_tree_walker((Query *) node, reads_walker, relid, QTW_IGNORE_JOINALIASES);
}

/* Drops the stages that nothing reads, from the top down. */
static void
drop_unused_stages(NewView *root)
{
	List *readers = list_make1(root->block);

	for (int i = list_length(root->stages) - 1; i >= 0; i--)
	{
		NewView *stage = list_nth(root->stages, i);
		ObjectAddress object;

		if (reads_walker((Node *) readers, &stage->row.view))
		{
			readers = lappend(readers, stage->block);
			continue;
		}
		root->stages = list_delete_nth_cell(root->stages, i);
		ObjectAddressSet(object, RelationRelationId, stage->row.view);
		deleteDependencyRecordsForClass(RelationRelationId, stage->row.view,
										RelationRelationId, DEPENDENCY_INTERNAL);
		CommandCounterIncrement();
		performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
		derive_catalog_delete_view(stage->row.view);
	}
}

/* Tells the user if a part of the view can only be recomputed, and why. */
static void
report_recompute(NewView *view)
{
	const char *why = NULL;
	ListCell *lc;

	foreach (lc, view->stages)
		if (why == NULL && ((NewView *) lfirst(lc))->plan->rule == RULE_RECOMPUTE)
			why = ((NewView *) lfirst(lc))->plan->stage->why;
	if (why == NULL && view->plan->rule == RULE_RECOMPUTE)
		why = view->plan->stage->why;
	if (why != NULL)
		ereport(
			NOTICE,
			(errmsg(
				 view->stages == NIL
					 ? "derived view \"%s\" can only be maintained by recomputing it"
					 : "a stage of derived view \"%s\" can only be maintained by recomputing it",
				 view->name),
			 errdetail("%s", why)));
}

/* Cuts the view's query into blocks, see new_view.h. */
void
derive_new_view_make_stages(NewView *view)
{
	ListCell *lc;
	char *before = derive_query_deparse(view->query, false);

	view->block = derive_cut(copyObject(view->query), create_stage, view);
	if (view->stages == NIL &&
		strcmp(before, derive_query_deparse(view->block, false)) == 0)
		view->block = view->query;
	drop_unused_stages(view);
	view->plan = derive_plan_make(copyObject(view->block), NULL);
	view->row.source_key = derive_new_view_follow_keys(view->plan);
	check_plannable(view->plan);
	foreach (lc, view->stages)
		derive_new_view_index_stages(((NewView *) lfirst(lc))->plan);
	derive_new_view_index_stages(view->plan);
}

/* Makes the stages of a query and returns the lines about them, in CurrentMemoryContext. */
static List *
explain_stages(NewView *view)
{
	MemoryContext context = CurrentMemoryContext;
	List *lines = NIL;
	int number = 1;
	ListCell *lc;

	SPI_connect();
	MemoryContextSwitchTo(context);
	derive_new_view_make_stages(view);
	MemoryContextSwitchTo(context); /* SPI left another one */
	foreach (lc, view->stages)
		lines = derive_api_explain_stage(lines, number++,
										 ((NewView *) lfirst(lc))->row.view,
										 ((NewView *) lfirst(lc))->plan);
	lines = derive_api_explain_stage(lines, number, InvalidOid, view->plan);
	SPI_finish();
	return lines;
}

/*
 * Returns the lines of derive.explain for a query, analysed as the current user: makes
 * its stages in a subtransaction, and undoes that, even if it fails: a caller who catches
 * the error must not find a subtransaction that is not theirs.
 */
List *
derive_api_explain_query(char *text)
{
	NewView view = {.name = "explain", .schema = DERIVE_STATE_SCHEMA, .explain = true};
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	List *volatile lines = NIL;
	ErrorData *volatile error = NULL;

	view.query = analyse_checked(text);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		lines = explain_stages(&view);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error != NULL)
		ReThrowError(error);
	return lines;
}

/* Takes over how often what is not in the log is to be read again. */
static void
set_interval(NewView *view, Interval *interval)
{
	bool silent = derive_sources_silent(view->block) != NIL;
	ListCell *lc;

	foreach (lc, view->stages)
		silent |= derive_sources_silent(((NewView *) lfirst(lc))->block) != NIL;
	if (interval->time +
			(interval->day + interval->month * INT64CONST(30)) * USECS_PER_DAY <=
		0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("refresh_every must be positive")));
	if (!silent)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("refresh_every has no effect on this query"),
						errdetail("It reads neither a foreign table nor a materialized "
								  "view; the changes of tables are followed."),
						errhint("Leave the argument out.")));
	view->row.refresh_every = interval;
}

/*
 * derive.create_view(name, query, key, with_data, refresh_every) → regclass
 */
Datum
derive_create_view(PG_FUNCTION_ARGS)
{
	NewView view = {0};
	MemoryContext context = CurrentMemoryContext;
	Oid caller = GetUserId();
	OwnerScope scope;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("a derived view needs a name and a query")));
	derive_api_check_server();
	derive_catalog_check_version(); /* an older function has fewer arguments */
	resolve_name(&view, PG_GETARG_TEXT_PP(0));
	view.query = analyse_checked(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	view.row.paused = PG_ARGISNULL(3) ? false : !PG_GETARG_BOOL(3);
	if (!PG_ARGISNULL(2))
		view.row.key = resolve_key(&view, PG_GETARG_ARRAYTYPE_P(2));
	view.row.key_given = !PG_ARGISNULL(2);

	SPI_connect();
	MemoryContextSwitchTo(context);
	create_target(&view);
	derive_new_view_make_stages(&view);
	if (PG_ARGISNULL(2))
		view.row.key = view.plan->key;
	if (!PG_ARGISNULL(4))
		set_interval(&view, PG_GETARG_INTERVAL_P(4));
	view.row.id = view.number = derive_catalog_next_id();
	derive_new_view_check_identities(&view);
	derive_new_view_create_indexes(&view);
	derive_owner_enter(&scope, BOOTSTRAP_SUPERUSERID);
	create_hidden_parts(&view, caller);
	derive_owner_leave(&scope);
	report_recompute(&view);
	SPI_finish();
	derive_commit_hook_catalog_changed(false);
	PG_RETURN_OID(view.row.view);
}
