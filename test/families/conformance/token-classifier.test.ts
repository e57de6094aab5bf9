import { describeFamily } from '../../support/family-conformance.js';

describeFamily('token-classifier');
