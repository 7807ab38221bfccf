/*-------------------------------------------------------------------------
 *
 * algebra.c
 *	  The delta of a linear region as SQL.
 *
 * The delta of a region in which the occurrences T1 .. Tn join, and some of their
 * sources changed, is the union of one term for each changed occurrence Ti:
 *
 *		old(T1) .. old(Ti-1)  delta(Ti)  Ti+1 .. Tn
 *
 * where Tj is the source at the snapshot, and old(Tj) is the same for an unchanged
 * source, else the CTE
 *
 *		old_t AS NOT MATERIALIZED (SELECT 1, columns FROM t
 *								   UNION ALL
 *								   SELECT -sign, columns FROM delta_t)
 *
 * that is, the new content minus the delta as a signed multiset.  Proof: write T'
 * for new and T for old; T1'..Tn' - T1..Tn is a telescoping sum in which the i-th
 * summand replaces Ti by Ti', and Ti' - Ti is the delta.  The sign of a joined row
 * is the product of its parts' signs.  Deltas need not be net.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "change/layout.h"
#include "plan/algebra.h"
#include "plan/plan.h"
#include "plan/region.h"

/*
 * Appends the text of a CTE with a source's content before its delta.
 */
static void
append_old_cte(StringInfo sql, PlanSource *source)
{
	StringInfoData columns;
	int attno = -1;

	initStringInfo(&columns);
	while ((attno = bms_next_member(source->columns, attno)) >= 0)
		appendStringInfo(&columns, ", %s",
						 quote_identifier(get_attname(source->relid, attno, false)));
	appendStringInfo(sql,
					 "%s AS NOT MATERIALIZED (\n"
					 "SELECT 1 AS \"" DERIVE_SIGN_COLUMN "\"%s FROM %s%s\n"
					 "UNION ALL\n"
					 "SELECT - \"" DERIVE_SIGN_COLUMN "\"%s FROM %s)",
					 quote_identifier(derive_region_old_name(source)), columns.data,
					 source->only ? "ONLY " : "", derive_relation_name(source->relid),
					 columns.data, quote_identifier(source->delta_name));
}

/*
 * Appends the terms of a region's delta, joined by UNION ALL, and adds to old_used
 * the sources whose content before the delta is read.
 */
static void
append_terms(StringInfo sql, Region *region, List *sources, Bitmapset *changed,
			 Bitmapset **old_used, bool pretty)
{
	OccurrenceForm *forms = palloc0_array(OccurrenceForm, region->noccurrences);
	const char *separator = "";

	for (int i = 0; i < region->noccurrences; i++)
	{
		if (!bms_is_member(region->occurrences[i].source, changed))
			continue;
		for (int j = 0; j < region->noccurrences; j++)
		{
			int source = region->occurrences[j].source;

			forms[j] = FORM_NEW;
			if (j == i)
				forms[j] = FORM_DELTA;
			else if (j < i && bms_is_member(source, changed))
			{
				forms[j] = FORM_OLD;
				*old_used = bms_add_member(*old_used, source);
			}
		}
		appendStringInfo(
			sql, "%s%s", separator,
			derive_query_deparse(derive_region_term(region, sources, forms), pretty));
		separator = "\nUNION ALL\n";
	}
}

/*
 * Returns the WITH clause for the sources whose content before the delta is read.
 */
static char *
make_with_clause(List *sources, Bitmapset *old_used)
{
	StringInfoData sql;
	int source = -1;
	const char *separator = "WITH ";

	initStringInfo(&sql);
	while ((source = bms_next_member(old_used, source)) >= 0)
	{
		appendStringInfoString(&sql, separator);
		append_old_cte(&sql, list_nth(sources, source));
		separator = ", ";
	}
	if (sql.len > 0)
		appendStringInfoChar(&sql, '\n');
	return sql.data;
}

/*
 * Makes the delta of a region when exactly the sources in changed (indexes into
 * sources) have one: terms is a SELECT that gives column "__sign", then the region's
 * columns; with is what must stand before the statement in which terms is used, or "".
 */
void
derive_algebra_delta(Region *region, List *sources, Bitmapset *changed, bool pretty,
					 char **with, char **terms)
{
	Bitmapset *old_used = NULL;
	StringInfoData sql;

	initStringInfo(&sql);
	append_terms(&sql, region, sources, changed, &old_used, pretty);
	*with = make_with_clause(sources, old_used);
	*terms = sql.data;
}
