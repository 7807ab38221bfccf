/*-------------------------------------------------------------------------
 *
 * determined.h
 *	  Which columns of a stage have one right value, see determined.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DERIVE_PLAN_DETERMINED_H
#define DERIVE_PLAN_DETERMINED_H

#include "plan/plan.h"

typedef enum ColumnCheck
{
	CHECK_IMAGE, /* to the last byte */
	CHECK_VALUE, /* of numeric: but for zeros at the end */
	CHECK_NOT	 /* several values would be right */
} ColumnCheck;

extern ColumnCheck *derive_determined_columns(ViewPlan *plan);
extern ColumnCheck *derive_determined_state(ViewPlan *plan);

#endif /* DERIVE_PLAN_DETERMINED_H */
