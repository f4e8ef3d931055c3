/** `terraform test` of modules/elasticache-redis: mocked applies, refusals, a plan by the real provider. */
import t from 'tap'
import { lacking } from '../../scripts/lib/terraform.ts'
import { expectTestsPass } from './terraform.ts'

void t.test('the module passes its own tests', { skip: lacking() }, (test) =>
  expectTestsPass(test, 'terraform/modules/elasticache-redis'),
)
