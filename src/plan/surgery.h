/*-------------------------------------------------------------------------
 *
 * surgery.h
 *	  Changes to analysed queries that keep them valid, see surgery.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_SURGERY_H
#define DERIVE_PLAN_SURGERY_H

#include "nodes/parsenodes.h"

extern bool derive_surgery_refers_outside(Node *node, int levels);
extern Bitmapset *derive_surgery_items(Node *node);
extern void derive_surgery_flatten(Query *query);
extern void derive_surgery_join_on(Query *query);
extern void derive_surgery_set_relation(Query *query, RangeTblEntry *rte, Oid relid);
extern int derive_surgery_add_relation(Query *query, Oid relid, const char *name);
extern void
derive_surgery_join_below(Query *query, Node *added, Node **place, List *joins);
extern void derive_surgery_left_join(Query *query, int rtindex, List *quals);
extern void derive_surgery_set_join_type(Query *query, JoinExpr *join, JoinType type);
extern void derive_surgery_blank(RangeTblEntry *rte);
extern bool derive_surgery_reads_whole_row(Query *query, int rtindex);
extern bool derive_surgery_reads_rows(Query *query, int rtindex);
extern void derive_surgery_pull_up(Query *query, int rtindex);
extern Query *derive_surgery_over(Oid relid);
extern Node *derive_surgery_null(Oid type, int32 typmod, Oid collation);
extern Query *derive_surgery_parse(const char *sql);

#endif /* DERIVE_PLAN_SURGERY_H */
