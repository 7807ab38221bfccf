/*-------------------------------------------------------------------------
 *
 * gate.h
 *	  Refuses queries that cannot be maintained, see gate.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_GATE_H
#define DERIVE_PLAN_GATE_H

#include "nodes/parsenodes.h"

/* Checks all of a query but its expressions: clauses, tables, output columns. */
extern void derive_gate_check_query(Query *query, const char *source_text);

/* Checks the expressions of a query. */
extern void derive_gate_check_expressions(Query *query, const char *source_text);

/*
 * Refuses a construct (a plural noun); detail and hint may be NULL, location is a
 * byte offset in source_text or -1.
 */
extern void
derive_gate_refuse(const char *source_text, int location, const char *construct,
				   const char *detail, const char *hint) __attribute__((noreturn));

#endif /* DERIVE_PLAN_GATE_H */
