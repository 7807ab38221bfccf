-- summary.sql: what the sessions did.

SELECT format('%s flights now; the views took in %s transactions in %s ticks',
              (SELECT count(*) FROM flights), transactions, ticks)
  FROM derive.pipelines;
