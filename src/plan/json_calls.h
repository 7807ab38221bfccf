/*-------------------------------------------------------------------------
 *
 * json_calls.h
 *	  Calls of core's stable JSON functions that are immutable after all, see
 *	  json_calls.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_JSON_CALLS_H
#define DERIVE_PLAN_JSON_CALLS_H

#include "nodes/parsenodes.h"

extern bool derive_json_is_fixed(Node *node);
extern Node *derive_json_blank(Node *node);
extern uint32 derive_json_names(Query *query, List **rowtypes);

#endif /* DERIVE_PLAN_JSON_CALLS_H */
